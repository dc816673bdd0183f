"""`python -m l2o.benchmarks.hostile`: every shipped policy in loops that are hard on it."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import l2o
from l2o.benchmarks.hostile import loop
from l2o.benchmarks.hostile.networks import NETWORKS
from l2o.benchmarks.hostile.optimizers import OPTIMIZERS
from l2o.benchmarks.hostile.plan import QUICK, Choice, plan_loop, plan_tuning
from l2o.benchmarks.hostile.runner import run_all
from l2o.benchmarks.hostile.schedules import SCHEDULES
from l2o.benchmarks.hostile.summary import summarise
from l2o.benchmarks.hostile.tables import claims_table, harm_table, policy_table, tuning_table
from l2o.benchmarks.machine import machine_facts
from l2o.benchmarks.records import write_json
from l2o.benchmarks.terminal import print_tables

SETS = ("loop", "tune")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    given = _parser().parse_args(arguments)
    choice = _choice(given)
    with tempfile.TemporaryDirectory() as folder:
        out = given.out or Path(folder)
        if given.set == "tune":
            records = run_all(loop.run, plan_tuning(choice), given.workers, out)
            print_tables([tuning_table(records)], [])
            return
        records = run_all(loop.run, plan_loop(choice), given.workers, out)
    summary = summarise(records, bound=2.0)
    tables = [policy_table(summary), claims_table(summary)]
    tables += [harm_table(summary)] if summary["harmed"] else []
    print_tables(tables, summary["failures"], missing="runs")
    if given.json is not None:
        found: dict[str, Any] = {"machine": machine_facts(given.workers), "set": given.set}
        write_json(given.json, found | {"summary": summary, "cells": records})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m l2o.benchmarks.hostile", description=(__doc__ or "").split(": ", 1)[1]
    )
    add = parser.add_argument
    add("--set", choices=SETS, default="loop")
    add("--policies", nargs="+", default=(), help="shipped policies (default: all)")
    add("--schedules", nargs="+", default=(), choices=SCHEDULES)
    add("--optimizers", nargs="+", default=(), choices=OPTIMIZERS)
    add("--networks", nargs="+", default=(), choices=NETWORKS)
    add("--steps", type=_count, help="of every run (default: the network's)")
    add("--seeds", type=_count, default=1, help="runs of each kind")
    add("--workers", type=_count, default=2, help="processes, one core each")
    add("--quick", action="store_true", help="a part that takes two minutes or three")
    add(
        "--out",
        type=Path,
        help="keep finished runs here and go on from them; a new folder for each state of the code",
    )
    add("--json", type=Path, help="write all runs and the claims here")
    return parser


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, got {value}")
    return value


def _choice(given: argparse.Namespace) -> Choice:
    asked = {
        name: tuple(getattr(given, name))
        for name in ("policies", "schedules", "optimizers", "networks")
        if getattr(given, name)
    }
    for name in asked.get("policies", ()):
        l2o.load_policy(name)  # an unknown name is told before any work
    base = QUICK if given.quick else Choice()
    return replace(base, **asked, steps=given.steps, seeds=given.seeds)


if __name__ == "__main__":
    main()
