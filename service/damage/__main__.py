"""Damages files of every kind in every way, and checks what is said about them.

python -m l2o.service.damage --files 2000 --json damage.json
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from tqdm import tqdm

from l2o.files.atomic import write_atomically
from l2o.files.streams import forgive_encodings
from l2o.service.damage.damages import DAMAGES
from l2o.service.damage.kinds import kinds
from l2o.service.damage.templates import make_templates
from l2o.service.damage.trial import READ, REFUSED, Outcome, Trials


def run(files: int, seed: int = 0, progress: bool = False) -> list[Outcome]:
    """Return what came of so many damaged files, kinds and damages in turn.

    Each must be refused with one message that names it, and nothing lost or executed; or it is a
    cache and made anew; or what it holds is still whole, and read as it was written.
    """
    with tempfile.TemporaryDirectory() as parent:
        templates = make_templates(Path(parent))
        scratch = Path(parent) / "scratch"
        scratch.mkdir()
        trials = Trials(templates, kinds(templates), scratch)
        names, damages = list(trials.kinds), damages_here()
        outcomes = []
        for number in tqdm(range(files), disable=not progress, desc="damage", unit="file"):
            kind = names[number % len(names)]
            damage = damages[number // len(names) % len(damages)]
            outcomes.append(trials.run(kind, damage, np.random.default_rng([seed, number])))
    return outcomes


def damages_here() -> list[str]:
    """Return the damages that are any here: to a superuser no file is unreadable."""
    everywhere = [name for name in DAMAGES if name != "unreadable"]
    return everywhere if getattr(os, "geteuid", lambda: 1)() == 0 else list(DAMAGES)


def table(outcomes: Sequence[Outcome]) -> str:
    """Return counts by kind and damage: refused + read, and those that went wrong in brackets."""
    counts = Counter((each.kind, each.damage, each.ended) for each in outcomes)
    wrong = Counter((each.kind, each.damage) for each in outcomes if each.wrong)
    damages = list(dict.fromkeys(each.damage for each in outcomes))
    lines = ["| file | " + " | ".join(damages) + " |", "|---|" + "---|" * len(damages)]
    for kind in dict.fromkeys(each.kind for each in outcomes):
        cells = []
        for damage in damages:
            cell = f"{counts[kind, damage, REFUSED]} + {counts[kind, damage, READ]}"
            bad = wrong[kind, damage]
            cells.append(cell + (f" ({bad} WRONG)" if bad else ""))
        lines.append(f"| {kind} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run from the command line; ends with exit code 1 if anything went wrong."""
    forgive_encodings()
    parser = argparse.ArgumentParser(
        prog="python -m l2o.service.damage", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--files", type=int, default=2000, help="how many files are damaged")
    parser.add_argument("--seed", type=int, default=0, help="of the damages")
    parser.add_argument("--json", type=Path, help="where every outcome is written")
    given = parser.parse_args(arguments)
    outcomes = run(given.files, given.seed, progress=sys.stderr.isatty())
    wrong = [each for each in outcomes if each.wrong]
    print("refused + read as written or made anew:\n")
    print(table(outcomes))
    print(f"{len(outcomes)} damaged files, {len(wrong)} gone wrong")
    for each in wrong[:20]:
        print(f"- {each.kind}, {each.damage}: {each.wrong}")
    if given.json is not None:
        told = {"seed": given.seed, "outcomes": [asdict(each) for each in outcomes]}
        write_atomically(given.json, json.dumps(told, indent=1) + "\n")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
