"""What a number format costs in accuracy: pairs of fine-tunes, equal but for the format."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from l2o.benchmarks.cells.cell import load_family
from l2o.benchmarks.cells.quantities import SHOWN
from l2o.benchmarks.cells.queue import CellQueue
from l2o.benchmarks.cells.record import Record
from l2o.benchmarks.cells.runner import run_here
from l2o.benchmarks.cells.stacked import Note
from l2o.benchmarks.comparisons.table.matrices import gather
from l2o.benchmarks.comparisons.table.missing_cells import signals_of
from l2o.benchmarks.comparisons.table.plan import Plan, make_plan
from l2o.benchmarks.report.tables import ends, points
from l2o.benchmarks.speed.base import Measurement
from l2o.benchmarks.statistics import Difference, Matrix, mean, paired_difference
from l2o.benchmarks.studies.options import Device, count, text
from l2o.configs.schema import BenchmarkConfig, FineTuning, Named, Row
from l2o.envs.runtime.device import resolve_device

ALONE = "float32, one by one"
"""The control: rounding in another order, which is all that float32 and stacking leave open."""

Scores = dict[str, dict[str, Matrix]]
"""Row -> metric -> runs x tasks."""


@dataclass(frozen=True)
class Against:
    """The mean of a metric, and its paired difference to float32."""

    mean: float
    difference: Difference

    def to_json(self) -> Mapping[str, object]:
        """Return plain JSON data, flat."""
        return {**self.difference.to_json(), "mean": self.mean}


@dataclass(frozen=True)
class Found:
    """A row of the benchmark in a format; `metrics` by name."""

    format: str
    row: str
    fine_tunes_per_minute: float
    metrics: Mapping[str, Against]

    def to_json(self) -> Mapping[str, object]:
        """Return plain JSON data, a field for each metric."""
        told = {name: against.to_json() for name, against in self.metrics.items()}
        return {name: value for name, value in vars(self).items() if name != "metrics"} | told

    def against(self, metric: str) -> str:
        """Return the difference to float32, in points; nothing of float32 itself."""
        return "" if self.format == "float32" else points(self.metrics[metric].difference)


@dataclass(frozen=True, kw_only=True)
class Precision(Measurement[Found]):
    """Measure what a number format costs in accuracy: fine-tunes that differ in the format alone.

    bf16 everywhere, tf32 on CUDA, and float32 one by one as a control.
    """

    examples = (
        "l2o speed precision --json precision.json",
        "l2o speed precision --device cuda --json precision-cuda.json",
    )
    title = "Number formats"
    columns = {
        "format": lambda row: row.format,
        "row": lambda row: row.row,
        "target accuracy": lambda row: f"{100 * row.metrics['target_accuracy'].mean:.1f}",
        "difference": lambda row: row.against("target_accuracy"),
        "new tasks": lambda row: (
            row.against("target_accuracy")
            and ends(row.metrics["target_accuracy"].difference.new_tasks)
        ),
        "proxy": lambda row: row.against("proxy_accuracy"),
        "source": lambda row: row.against("source_accuracy"),
    }
    device: Device = "cpu"
    tasks: Annotated[int, count("Held-out tasks of the digits family.")] = 4
    seeds: Annotated[int, count("Fine-tunes of each.")] = 8
    steps: Annotated[int, count("Optimizer steps of each.")] = 150
    policy: Annotated[str, text("The learned policy among the rows.")] = "asg-base"

    def rows(self) -> Iterator[Found]:
        """Run a benchmark in each format."""
        small = Row(label="cosine, small backbone", schedule="cosine", profile="small_backbone")
        config = BenchmarkConfig(
            task=Named(name="digits", options={"split": "heldout"}),
            tasks=self.tasks,
            seeds=self.seeds,
            finetuning=FineTuning(steps=self.steps, device=self.device),
            policy=self.policy,
            rows=(Row(label="cosine, flat", schedule="cosine"), small),
            evaluations=1,
        )
        yield from measure(config)


def measure(config: BenchmarkConfig) -> Iterator[Found]:
    """Yield the rows of a benchmark in each format; its own does not count."""
    device = resolve_device(config.finetuning.device)
    formats = ("bf16",) if device.type == "cpu" else ("tf32", "bf16")
    ways: dict[str, Mapping[str, object]] = {"float32": {}, ALONE: {"stacked": False}}
    ways |= {name: {"precision": name} for name in formats}
    load_family(config.task.model_dump_json()).prepare()
    base: Scores = {}
    for name, way in ways.items():
        found, rate = _run(config.model_copy(update=way))
        base = base or found
        for label, own in found.items():
            pairs = {metric: (own[metric], base[label][metric]) for metric in own}
            metrics = {
                k: Against(float(mean([a])), paired_difference(a, b)) for k, (a, b) in pairs.items()
            }
            yield Found(name, label, rate, metrics)


def _run(config: BenchmarkConfig) -> tuple[Scores, float]:
    """Return the accuracies of all rows and of their mean, and fine-tunes per minute."""
    plan = make_plan(config)
    began = time.perf_counter()
    queue = CellQueue(plan.cells, takers=1, stacked=config.stacked)
    records = [r for r in run_here(queue, signals_of(plan)) if not isinstance(r, Note)]
    rate = 60 * len(records) / (time.perf_counter() - began)
    return _scores(plan, {record.id: record for record in records}), rate


def _scores(plan: Plan, records: dict[str, Record]) -> Scores:
    failures = [record.error for record in records.values() if record.error is not None]
    if failures:
        raise RuntimeError(f"{len(failures)} fine-tunes failed; the first: {failures[0]}")
    gathered = {row.label: gather(row, records) for row in plan.rows}
    scores = {label: {m: row.at(1.0, m) for m in SHOWN} for label, row in gathered.items()}
    means = {m: np.mean([row[m] for row in scores.values()], axis=0) for m in SHOWN}
    return {**scores, "all rows": means}
