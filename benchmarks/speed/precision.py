"""What a number format costs in accuracy: pairs of fine-tunes, equal but for the format.

python -m l2o.benchmarks.speed precision --json precision.json
python -m l2o.benchmarks.speed precision --device cuda --json precision-cuda.json
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from l2o.benchmarks.cells.cell import load_family
from l2o.benchmarks.cells.machine import machine_facts
from l2o.benchmarks.cells.quantities import SHOWN
from l2o.benchmarks.cells.queue import CellQueue
from l2o.benchmarks.cells.record import Record
from l2o.benchmarks.cells.runner import run_here
from l2o.benchmarks.cells.stacked import Note
from l2o.benchmarks.comparisons.table.matrices import gather
from l2o.benchmarks.comparisons.table.missing_cells import signals_of
from l2o.benchmarks.comparisons.table.plan import Plan, make_plan
from l2o.benchmarks.statistics import Matrix, mean, paired_difference
from l2o.configs.schema import BenchmarkConfig, FineTuning, Named, Row
from l2o.envs.runtime.device import resolve_device
from l2o.files.atomic import write_atomically

ALONE = "float32, one by one"
"""The control: rounding in another order, which is all that float32 and stacking leave open."""

Scores = dict[str, dict[str, Matrix]]
"""Row -> metric -> runs x tasks."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--tasks", type=int, default=4, help="held-out tasks of the digits family")
    parser.add_argument("--seeds", type=int, default=8, help="fine-tunes of each")
    parser.add_argument("--steps", type=int, default=150, help="optimizer steps of each")
    parser.add_argument("--policy", default="asg-base", help="the learned policy among the rows")
    parser.add_argument("--json", type=Path, help="file to write the results to")


def run(arguments: argparse.Namespace) -> None:
    """Measure, print a Markdown table, and write the results."""
    config = settings(
        arguments.device, arguments.tasks, arguments.seeds, arguments.steps, arguments.policy
    )
    results = measure(config)
    print(table(results))
    if arguments.json:
        write_atomically(arguments.json, json.dumps(results, indent=2) + "\n")


def settings(device: str, tasks: int, seeds: int, steps: int, policy: str) -> BenchmarkConfig:
    """Return the benchmark that is run in each format."""
    return BenchmarkConfig(
        task=Named(name="digits", options={"split": "heldout"}),
        tasks=tasks,
        seeds=seeds,
        finetuning=FineTuning(steps=steps, device=device),
        policy=policy,
        rows=(
            Row(label="cosine, flat", schedule="cosine"),
            Row(label="cosine, small backbone", schedule="cosine", profile="small_backbone"),
        ),
        evaluations=1,
    )


def measure(config: BenchmarkConfig) -> dict[str, Any]:
    """Return, for each format and row, its mean paired differences to float32, with intervals.

    Args:
        config: a benchmark; its own format does not count.
    """
    device = resolve_device(config.finetuning.device)
    formats = ("bf16",) if device.type == "cpu" else ("tf32", "bf16")
    ways: dict[str, dict[str, Any]] = {
        "float32": {},
        ALONE: {"stacked": False},
        **{name: {"precision": name} for name in formats},
    }
    load_family(config.task.model_dump_json()).prepare()
    scores, rates = {}, {}
    for name, changes in ways.items():
        scores[name], rates[name] = _run(config.model_copy(update=changes))
    return {
        "benchmark": "precision",
        "device": str(device),
        "tasks": config.tasks,
        "seeds": list(range(config.seeds)),
        "steps": config.finetuning.steps,
        "machine": machine_facts(1),
        "rows": [
            _row(name, label, scores["float32"][label], scores[name][label], rates[name])
            for name in ways
            for label in scores[name]
        ],
        "figures": [],
    }


def table(results: dict[str, Any]) -> str:
    """Return the results as a Markdown table: accuracies and differences to float32, in points."""
    lines = [
        "| format | row | target accuracy | difference | new tasks | proxy kept | source |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for row in results["rows"]:
        target = row["target_accuracy"]
        cells = [row["format"], row["row"], f"{100 * target['mean']:.1f}"]
        if row["format"] == "float32":
            cells += ["", "", "", ""]
        else:
            new_tasks = dict(zip(("low", "high"), target["new_tasks"], strict=True))
            cells += [_points(target), _interval(new_tasks)]
            cells += [_points(row["proxy_accuracy"]), _points(row["source_accuracy"])]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _points(difference: Mapping[str, Any]) -> str:
    value = f"{100 * difference['value']:+.2f}".replace("-", "−")
    return f"{value} {_interval(difference)}".strip()


def _interval(ends: Mapping[str, Any]) -> str:
    if ends["low"] is None:
        return ""
    return f"[{100 * ends['low']:+.2f}, {100 * ends['high']:+.2f}]".replace("-", "−")


def _run(config: BenchmarkConfig) -> tuple[Scores, float]:
    """Return the accuracies of all rows and of their mean, and fine-tunes per minute."""
    plan = make_plan(config)
    began = time.perf_counter()
    queue = CellQueue(plan.cells, takers=1, stacked=config.stacked)
    records = [r for r in run_here(queue, signals_of(plan)) if not isinstance(r, Note)]
    spent = time.perf_counter() - began
    return _scores(plan, {record.id: record for record in records}), 60 * len(records) / spent


def _scores(plan: Plan, records: dict[str, Record]) -> Scores:
    failures = [record.error for record in records.values() if record.error is not None]
    if failures:
        raise RuntimeError(f"{len(failures)} fine-tunes failed; the first: {failures[0]}")
    gathered = {row.label: gather(row, records) for row in plan.rows}
    scores = {label: {m: row.at(1.0, m) for m in SHOWN} for label, row in gathered.items()}
    scores["all rows"] = {
        metric: np.mean([row[metric] for row in scores.values()], axis=0) for metric in SHOWN
    }
    return scores


def _row(
    name: str, label: str, base: dict[str, Matrix], other: dict[str, Matrix], rate: float
) -> dict[str, Any]:
    row: dict[str, Any] = {"format": name, "row": label, "fine_tunes_per_minute": rate}
    for metric in SHOWN:
        difference = paired_difference(other[metric], base[metric]).to_json()
        row[metric] = {**difference, "mean": float(mean([other[metric]]))}
    return row
