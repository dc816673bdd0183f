"""What a number format costs in accuracy: pairs of fine-tunes, equal but for the format."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

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
from l2o.benchmarks.report.tables import UNKNOWN, Table, points
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
        metrics = {name: against.to_json() for name, against in self.metrics.items()}
        return {key: value for key, value in vars(self).items() if key != "metrics"} | metrics


@dataclass(frozen=True, kw_only=True)
class Precision(Measurement[Found]):
    """Measure what a number format costs in accuracy: fine-tunes that differ in the format alone.

    bf16 everywhere, tf32 on CUDA, and float32 one by one as a control.
    """

    examples = (
        "l2o speed precision --json precision.json",
        "l2o speed precision --device cuda --json precision-cuda.json",
    )
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

    def table(self, rows: Sequence[Found]) -> Table:
        """Return accuracies and differences to float32, in points."""
        return table(rows)


def measure(config: BenchmarkConfig) -> Iterator[Found]:
    """Yield the rows of a benchmark in each format; its own does not count."""
    device = resolve_device(config.finetuning.device)
    formats = ("bf16",) if device.type == "cpu" else ("tf32", "bf16")
    ways: dict[str, Mapping[str, Any]] = {"float32": {}, ALONE: {"stacked": False}}
    ways |= {name: {"precision": name} for name in formats}
    load_family(config.task.model_dump_json()).prepare()
    base: Scores = {}
    for name, way in ways.items():
        scores, rate = _run(config.model_copy(update=dict(way)))
        base = base or scores
        for label, own in scores.items():
            yield Found(name, label, rate, {m: _against(own[m], base[label][m]) for m in own})


def table(rows: Sequence[Found]) -> Table:
    """Return accuracies and differences to float32, in points."""
    columns = ("format", "row", "target accuracy", "difference", "new tasks", "proxy", "source")
    cells = []
    for row in rows:
        target, proxy, source = (
            row.metrics[m] for m in ("target_accuracy", "proxy_accuracy", "source_accuracy")
        )
        against: tuple[str, ...] = ("", "", "", "")
        if row.format != "float32":
            new = interval(target.difference.new_tasks)
            against = (_points(target), new, _points(proxy), _points(source))
        cells.append((row.format, row.row, f"{100 * target.mean:.1f}", *against))
    return Table("Number formats", columns, cells)


def interval(ends: tuple[float, float]) -> str:
    """Return the interval of a difference alone, in percentage points."""
    return (
        "[{:+.1f}, {:+.1f}]".format(*(100 * end for end in ends))
        if np.isfinite(ends[0])
        else UNKNOWN
    )


def _points(against: Against) -> str:
    return points(against.difference)


def _against(other: Matrix, base: Matrix) -> Against:
    return Against(float(mean([other])), paired_difference(other, base))


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
