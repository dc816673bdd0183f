"""Fine-tunes per minute of a benchmark, stacked and one by one.

python -m l2o.benchmarks.speed cells --json cells.json
python -m l2o.benchmarks.speed cells demo tasks=1 seeds=1 policy=asg-base --rounds 3
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from l2o.benchmarks.cells.cell import load_family
from l2o.benchmarks.cells.machine import machine_facts
from l2o.benchmarks.comparisons.kinds import run_benchmark
from l2o.benchmarks.comparisons.table.plan import make_plan
from l2o.benchmarks.speed.timing import ratio, time_alternately
from l2o.configs.load import load_table
from l2o.configs.schema import BenchmarkConfig
from l2o.envs.runtime.device import resolve_device
from l2o.files.atomic import write_atomically

_SMALL = ("tasks=1", "seeds=1", "policy=asg-base")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("config", nargs="?", default="demo", help="a benchmark's preset or file")
    parser.add_argument("overrides", nargs="*", default=_SMALL, help="key=value")
    parser.add_argument("--rounds", type=int, default=3, help="times that each is measured")
    parser.add_argument("--json", type=Path, help="file to write the results to")


def run(arguments: argparse.Namespace) -> None:
    """Measure, print, and write the results."""
    results = measure(arguments.config, arguments.overrides, arguments.rounds)
    for row in results["rows"]:
        print(f"{row['name']:12} {row['fine_tunes_per_minute']:8.1f} fine-tunes per minute")
    print(f"ratio {results['ratio']:.2f}")
    if arguments.json:
        write_atomically(arguments.json, json.dumps(results, indent=2) + "\n")


def measure(config: str, overrides: Sequence[str] = _SMALL, rounds: int = 3) -> dict[str, Any]:
    """Return fine-tunes per minute both ways, and their ratio; one process, in turns.

    Args:
        config: a benchmark's preset or file.
        overrides: of its fields.
        rounds: times that each is measured.
    """
    chosen: BenchmarkConfig = load_table(config, overrides)
    ways = {
        name: chosen.model_copy(update={"stacked": stacked})
        for name, stacked in (("one by one", False), ("stacked", True))
    }
    load_family(chosen.task.model_dump_json()).prepare()
    device = resolve_device(chosen.finetuning.device)
    times = time_alternately({k: _benchmark(v) for k, v in ways.items()}, rounds, device)
    count = len(make_plan(chosen).cells)
    return {
        "benchmark": "cells",
        "config": config,
        "overrides": list(overrides),
        "fine_tunes": count,
        "machine": machine_facts(1),
        "rows": [
            {
                "name": name,
                "fine_tunes_per_minute": 60 * count / spent.median,
                "seconds": spent.seconds,
            }
            for name, spent in times.items()
        ],
        "ratio": ratio(times["one by one"], times["stacked"]),
        "figures": [],
    }


def _benchmark(config: BenchmarkConfig) -> Callable[[], None]:
    return partial(_run_from_nothing, config)


def _run_from_nothing(config: BenchmarkConfig) -> None:
    with tempfile.TemporaryDirectory() as folder:
        run_benchmark(config, Path(folder), workers=1, progress=False)
