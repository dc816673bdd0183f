"""`python -m l2o.benchmarks.studies.hostile`: every shipped policy in loops that are hard on it."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import l2o
from l2o.benchmarks.cells.machine import machine_facts
from l2o.benchmarks.comparisons.results_file import Failure
from l2o.benchmarks.report.terminal import print_tables
from l2o.benchmarks.studies.hostile.cell import Record
from l2o.benchmarks.studies.hostile.choice import Choice
from l2o.benchmarks.studies.hostile.runner import run_all
from l2o.benchmarks.studies.hostile.sets import SETS
from l2o.benchmarks.studies.hostile.summary import summarise
from l2o.benchmarks.studies.hostile.tables import (
    claims_table,
    harm_table,
    policy_table,
    tuning_table,
    worst_table,
)
from l2o.envs.runtime.run_lock import FolderInUseError
from l2o.files.atomic import DamagedFileError
from l2o.files.seals import write_json
from l2o.registry import unknown_name

NAMED = ("networks", "optimizers", "schedules")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    parser = _parser()
    given = parser.parse_args(arguments)
    chosen = SETS[given.set]
    try:
        cells = chosen.plan(_choice(given))
    except (ValueError, ImportError) as error:
        parser.error(str(error))
    try:
        with tempfile.TemporaryDirectory() as folder:
            records = run_all(chosen.run, cells, given.workers, given.out or Path(folder))
    except (FolderInUseError, DamagedFileError) as error:
        parser.error(str(error))
    found: dict[str, Any] = {"set": given.set, "machine": machine_facts(given.workers)}
    if chosen.bound is None:
        print_tables([tuning_table(records)], [])
    else:
        found["summary"] = _judge(records, chosen.bound)
    if given.json is not None:
        write_json(given.json, found | {"cells": records})


def _judge(records: Sequence[Record], bound: float) -> dict[str, Any]:
    """Print what the runs say, and return it."""
    summary = summarise(records, bound)
    tables = [policy_table(summary), worst_table(summary), claims_table(summary)]
    tables += [harm_table(summary)] if summary["harmed"] else []
    failures = [Failure.model_validate(each) for each in summary["failures"]]
    print_tables(tables, failures, missing="runs")
    return summary


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m l2o.benchmarks.studies.hostile",
        description=(__doc__ or "").split(": ", 1)[1],
    )
    add = parser.add_argument
    add("--set", choices=SETS, default="loop", help="which set (default: loop)")
    add("--policies", nargs="+", default=(), help="shipped policies (default: all)")
    for name in NAMED:
        add(f"--{name}", nargs="+", default=(), help="some of the set's (default: all)")
    add("--steps", type=_count, help="of every run (default: the network's)")
    add("--seeds", type=_count, default=1, help="runs of each kind")
    add("--workers", type=_count, default=2, help="processes, one core each")
    add("--quick", action="store_true", help="a part that takes two minutes or three")
    kept = "keep finished runs here and go on from them; a new folder for each state of the code"
    add("--out", type=Path, help=kept)
    add("--json", type=Path, help="write all runs and the claims here")
    return parser


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, got {value}")
    return value


def _choice(given: argparse.Namespace) -> Choice:
    """Return what is asked for.

    Raises:
        ValueError: a name that the set, or the policies that ship, do not have.
    """
    chosen = SETS[given.set]
    for kind in NAMED:
        known = getattr(chosen, kind)
        for name in getattr(given, kind):
            if name not in known:
                raise ValueError(unknown_name(kind.removesuffix("s"), name, known))
    for name in given.policies:
        l2o.load_policy(name)
    asked = {
        name: tuple(getattr(given, name)) for name in ("policies", *NAMED) if getattr(given, name)
    }
    base = chosen.quick if given.quick else Choice()
    return replace(base, **asked, steps=given.steps, seeds=given.seeds)


if __name__ == "__main__":
    main()
