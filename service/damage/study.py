"""Damages files of every kind in every way, and checks what is said about them."""

from __future__ import annotations

import os
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from tqdm import tqdm

from l2o.benchmarks.report.tables import Table
from l2o.benchmarks.studies.base import Study
from l2o.benchmarks.studies.options import Json, Seed, count
from l2o.service.damage.damages import DAMAGES
from l2o.service.damage.kinds import kinds
from l2o.service.damage.templates import make_templates
from l2o.service.damage.trial import READ, REFUSED, Outcome, Trials

SHOWN = 20
"""The files gone wrong that are listed."""


@dataclass(frozen=True)
class Answer:
    """What came of each damaged file."""

    seed: int
    outcomes: Sequence[Outcome]

    @property
    def wrong(self) -> list[Outcome]:
        """Those gone wrong."""
        return [each for each in self.outcomes if each.wrong]


@dataclass(frozen=True, kw_only=True)
class Damage(Study[Answer]):
    """Damage files of every kind in every way, and check what is said about them.

    Each must be refused with one message that names it, and nothing lost or executed; or it is a
    cache and made anew; or what it holds is still whole, and read as it was written. Ends with exit
    code 1 if anything went wrong.
    """

    examples = ("l2o study damage --files 200 --json damage.json",)
    files: Annotated[int, count("How many files are damaged.")] = 2000
    seed: Seed = 0
    json: Json = None

    def answer(self) -> Answer:
        """Damage so many files, kinds and damages in turn."""
        return Answer(self.seed, run(self.files, self.seed, progress=sys.stderr.isatty()))

    def tables(self, answer: Answer) -> list[Table]:
        """Return counts by kind and damage, and the first files gone wrong."""
        found = [table(answer.outcomes)]
        if wrong := answer.wrong:
            rows = [(each.kind, each.damage, each.wrong) for each in wrong[:SHOWN]]
            found.append(Table(f"{len(wrong)} gone wrong", ("file", "damage", "what"), rows))
        return found

    def holds(self, answer: Answer) -> bool:
        """Tell whether nothing went wrong."""
        return not answer.wrong


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


def table(outcomes: Sequence[Outcome]) -> Table:
    """Return counts by kind and damage: refused + read, and those that went wrong in brackets."""
    counts = Counter((each.kind, each.damage, each.ended) for each in outcomes)
    wrong = Counter((each.kind, each.damage) for each in outcomes if each.wrong)
    damages = list(dict.fromkeys(each.damage for each in outcomes))

    def cell(kind: str, damage: str) -> str:
        text = f"{counts[kind, damage, REFUSED]} + {counts[kind, damage, READ]}"
        return text + (f" ({bad} WRONG)" if (bad := wrong[kind, damage]) else "")

    named = dict.fromkeys(each.kind for each in outcomes)
    rows = [(kind, *(cell(kind, damage) for damage in damages)) for kind in named]
    note = f"{len(outcomes)} damaged files: refused + read as written or made anew."
    return Table("Damage", ("file", *damages), rows, note)
