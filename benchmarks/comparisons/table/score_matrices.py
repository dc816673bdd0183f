"""From the records of a row to runs x tasks matrices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from l2o.benchmarks.cells.cell import Record
from l2o.benchmarks.cells.target_measures import ENERGIES, HALVES
from l2o.benchmarks.comparisons.table.plan import PlannedRow
from l2o.benchmarks.statistics import Array, Matrix

METRICS = (
    "target_accuracy",
    "proxy_accuracy",
    "source_accuracy",
    "source_validation_loss",
    *ENERGIES,
    *HALVES,
)


@dataclass(frozen=True)
class RowScores:
    """What was measured for one row.

    Attributes:
        row: the planned row.
        factors: base-LR factors, rising.
        values: metric -> `[factors, runs, tasks]`; a fine-tune without a record is NaN.
        records: those that are there, in the order of the row's cells.
    """

    row: PlannedRow
    factors: tuple[float, ...]
    values: dict[str, Array]
    records: tuple[Record, ...]

    def at(self, factor: float, metric: str = "target_accuracy") -> Matrix:
        """Return runs x tasks at one base LR."""
        return self.values[metric][self.factors.index(factor)]

    def over(self, factors: tuple[float, ...], metric: str = "target_accuracy") -> Matrix:
        """Return runs x tasks, each run's score being its mean over these base LRs.

        The mean comes first, so that an interquartile mean over runs cannot trim away the base LRs
        at which a schedule fails.
        """
        return np.mean([self.at(factor, metric) for factor in factors], axis=0)

    @property
    def default_factor(self) -> float:
        """The factor nearest to 1: the base LR as the task gives it."""
        return min(self.factors, key=lambda factor: abs(np.log(factor)))


def gather(row: PlannedRow, records: dict[str, Record]) -> RowScores:
    """Put a row's records into arrays."""
    factors = tuple(sorted({cell.base_lr_factor for cell in row.cells}))
    runs = 1 + max(cell.seed for cell in row.cells)
    tasks = 1 + max(cell.task_seed for cell in row.cells)
    values = {metric: np.full((len(factors), runs, tasks), np.nan) for metric in METRICS}
    found = []
    for cell in row.cells:
        record = records.get(cell.id)
        if record is None or record["error"] is not None:
            continue
        # Where the base LR is fixed, one fine-tune stands for all factors.
        found.append(record | {"base_lr_factor": cell.base_lr_factor})
        place = factors.index(cell.base_lr_factor), cell.seed, cell.task_seed
        for metric in METRICS:
            values[metric][place] = _number(record.get(metric), metric)
    return RowScores(row, factors, values, tuple(found))


def common_factors(first: RowScores, second: RowScores) -> tuple[float, ...]:
    """Return the base-LR factors that both rows were run at."""
    return tuple(factor for factor in first.factors if factor in second.factors)


def _number(value: Any, metric: str) -> float:
    """Read a measured value: a lost loss is the worst, a lost accuracy zero, others unknown."""
    if value is not None:
        return float(value)
    if metric in (*ENERGIES, *HALVES):
        return float("nan")
    return float("inf") if metric == "source_validation_loss" else 0.0
