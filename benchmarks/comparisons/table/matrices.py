"""From the records of a row to matrices of runs x tasks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from l2o.benchmarks.cells.quantities import QUANTITIES, TARGET, Quantity
from l2o.benchmarks.cells.record import Record
from l2o.benchmarks.comparisons.table.plan import PlannedRow
from l2o.benchmarks.statistics import Array, Matrix


@dataclass(frozen=True)
class RowScores:
    """What was measured for one row.

    Attributes:
        row: the planned row.
        factors: base-LR factors, rising.
        values: quantity -> `[factors, runs, tasks]`; a fine-tune without a record is NaN.
        records: those that are there, each with its factor, in the order of the row's cells.
    """

    row: PlannedRow
    factors: tuple[float, ...]
    values: dict[str, Array]
    records: tuple[tuple[float, Record], ...]

    def at(self, factor: float, quantity: str = TARGET) -> Matrix:
        """Return runs x tasks at one base LR."""
        return self.values[quantity][self.factors.index(factor)]

    def over(self, factors: tuple[float, ...], quantity: str = TARGET) -> Matrix:
        """Return runs x tasks, each run's score being its mean over these base LRs.

        The mean comes first, so that an interquartile mean over runs cannot trim away the base LRs
        at which a schedule fails.
        """
        return np.mean([self.at(factor, quantity) for factor in factors], axis=0)

    def gain(self, factors: tuple[float, ...], quantity: str = TARGET) -> Matrix:
        """Return the same with the sign that makes the larger one the better one."""
        return self.quantity(quantity).sign * self.over(factors, quantity)

    def quantity(self, name: str = TARGET) -> Quantity:
        """Return a quantity as the objective of the row's tasks has it."""
        return QUANTITIES[name].named(self.records[0][1]) if self.records else QUANTITIES[name]

    @property
    def default_factor(self) -> float:
        """The factor nearest to 1: the base LR as the task gives it."""
        return min(self.factors, key=lambda factor: abs(np.log(factor)))


def gather(row: PlannedRow, records: Mapping[str, Record]) -> RowScores:
    """Put a row's records into arrays."""
    factors = tuple(sorted({cell.base_lr_factor for cell in row.cells}))
    runs = 1 + max(cell.seed for cell in row.cells)
    tasks = 1 + max(cell.task_seed for cell in row.cells)
    values = {name: np.full((len(factors), runs, tasks), np.nan) for name in QUANTITIES}
    found = []
    for cell in row.cells:
        record = records.get(cell.id)
        if record is None or record.error is not None:
            continue
        # Where the base LR is fixed, one fine-tune stands for all factors.
        found.append((cell.base_lr_factor, record))
        place = factors.index(cell.base_lr_factor), cell.seed, cell.task_seed
        for name, quantity in QUANTITIES.items():
            values[name][place] = quantity.of(record)
    return RowScores(row, factors, values, tuple(found))


def common_factors(first: RowScores, second: RowScores) -> tuple[float, ...]:
    """Return the base-LR factors that both rows were run at."""
    return tuple(factor for factor in first.factors if factor in second.factors)
