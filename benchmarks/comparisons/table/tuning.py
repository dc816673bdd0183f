"""Named rules that pick one setting of a tuning grid per task."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from l2o.benchmarks.cells.quantities import SOURCE, TARGET
from l2o.benchmarks.cells.record import finite
from l2o.benchmarks.cells.target_measures import HALVES
from l2o.benchmarks.comparisons.results_file import Chosen
from l2o.benchmarks.comparisons.table.matrices import RowScores
from l2o.benchmarks.statistics import Array, Matrix
from l2o.registry import lookup

Picks = NDArray[np.int64]
SOURCE_LOSS = "source_loss"


@dataclass(frozen=True)
class GridScores:
    """What was measured at every point of a tuning grid, `[points, runs, tasks]`; missing is NaN.

    Attributes:
        validation: score on held-out source images.
        validation_loss: loss on them; infinite or NaN counts as worst.
        target: score on the real target images.
        halves: accuracy on two halves of these images.
        sign: 1 where a larger score is better, -1 where a smaller one is.
    """

    validation: Array
    validation_loss: Array
    target: Array
    halves: tuple[Array, Array] | None = None
    sign: float = 1.0

    @property
    def points(self) -> int:
        """Settings in the grid."""
        return self.target.shape[0]

    @property
    def fine_tunes(self) -> int:
        """The budget: fine-tunes that tuning on one task costs."""
        return self.points * self.target.shape[1]


Selected = tuple[Picks | None, Matrix]
"""The chosen point of each task `[tasks]`, None if there is none; scores `[runs, tasks]`."""


def by_source_validation(grid: GridScores) -> Selected:
    """Choose by the best score on held-out source images, ties by the lower loss there.

    Means over runs. This is what a user can do, who has no labelled target data.
    """
    loss = np.where(np.isfinite(grid.validation_loss), grid.validation_loss, np.inf)
    return _scored(grid, _best(grid.sign * grid.validation.mean(axis=1), -loss.mean(axis=1)))


def by_target(grid: GridScores) -> Selected:
    """Choose by the target score itself: an oracle that no user has.

    It takes the best of noisy means that it is then scored by, so it is optimistic, too.
    """
    score = grid.sign * grid.target.mean(axis=1)
    return _scored(grid, _best(score, np.zeros_like(score)))


def by_other_tasks(grid: GridScores) -> Selected:
    """Choose for each task the one setting that is best, by target, on all other tasks.

    What a schedule reaches that is tuned once for a whole family, with real labels at hand, and
    not for the task itself. There are one or more other tasks. A setting that lacks a run is not
    chosen.
    """
    each, tasks = grid.sign * grid.target.mean(axis=1), grid.target.shape[-1]
    means = np.stack([np.delete(each, task, axis=1).mean(axis=1) for task in range(tasks)], axis=1)
    return _scored(grid, np.where(np.isnan(means), -np.inf, means).argmax(axis=0))


def cross_fitted(grid: GridScores) -> Selected:
    """Score an oracle by other target images than it chooses by.

    For each task, the setting with the best score on one half of the target's test images is scored
    on the other half, and the other way round; the mean of both is free of the optimism of a
    maximum of noisy scores. NaN where a record does not tell the halves apart.
    """
    assert grid.halves is not None
    first, second = grid.halves
    tasks = np.arange(first.shape[-1])
    scored = [
        on[by.mean(axis=1).argmax(axis=0), :, tasks].T
        for by, on in ((first, second), (second, first))
    ]
    return None, np.asarray(np.mean(scored, axis=0))


SELECTIONS: dict[str, Callable[[GridScores], Selected]] = {
    "source_validation": by_source_validation,
    "target_accuracy": by_target,
    "other_tasks": by_other_tasks,
    "cross_fitted": cross_fitted,
}
PER_TASK = ("source_validation", "target_accuracy")
"""Those that are tuned, and scored, on the task itself."""


def select(rule: str, grid: GridScores) -> Selected:
    """Pick one point per task and return the picks and the target score of their runs.

    Args:
        rule: a key of `SELECTIONS`.
        grid: of the whole grid.

    Raises:
        ValueError: an unknown rule, or an empty grid.
    """
    if grid.points == 0:
        raise ValueError("nothing to select from: the tuning grid is empty")
    return lookup("selection", SELECTIONS, rule)(grid)


def grid_scores(rows: Sequence[RowScores]) -> GridScores:
    """Return what was measured at every point: each row at each of its base LRs."""
    first, second = (_points(rows, name) for name in HALVES)
    validation, loss, target = (_points(rows, name) for name in (SOURCE, SOURCE_LOSS, TARGET))
    sign = next((row.quantity().sign for row in rows if row.records), 1.0)
    return GridScores(validation, loss, target, (first, second), sign)


def name_chosen(
    rows: Sequence[RowScores], picks: Picks | None, scores: Matrix
) -> tuple[Chosen, ...]:
    """Return what was chosen for each task."""
    settings = [(row.row.label, factor) for row in rows for factor in row.factors]
    chosen = [] if picks is None else picks.tolist()
    return tuple(
        Chosen(
            task=task,
            label=settings[pick][0],
            factor=settings[pick][1],
            score=finite(scores[:, task].mean()),
        )
        for task, pick in enumerate(chosen)
    )


def _points(rows: Sequence[RowScores], quantity: str) -> Array:
    """Stack rows x base LRs into `[points, runs, tasks]`."""
    return np.concatenate([row.values[quantity] for row in rows])


def _scored(grid: GridScores, picks: Picks) -> Selected:
    return picks, grid.target[picks, :, np.arange(len(picks))].T


def _best(first: Array, second: Array) -> Picks:
    """Return, per column, the row of the highest `first`, ties by `second`; NaN is worst."""
    first = np.asarray(np.round(np.where(np.isnan(first), -np.inf, first), 9), np.float64)
    lowest = float(np.finfo(np.float64).min)
    second = np.where(first == first.max(axis=0), np.maximum(second, lowest), -np.inf)
    return np.asarray(second.argmax(axis=0), dtype=np.int64)
