"""Each schedule of the grid at its tuned best, under every named selection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from l2o.benchmarks.cells.target_measures import HALVES
from l2o.benchmarks.comparisons.table.score_matrices import RowScores
from l2o.benchmarks.comparisons.table.selection import SELECTIONS, GridScores, select
from l2o.benchmarks.statistics import Array, Estimate, Matrix, estimate

WHOLE_GRID = "best of the whole grid"
"""Name of the entry that is tuned over all schedules together."""


@dataclass(frozen=True)
class Tuned:
    """A schedule tuned per task over base LR x profile (x early stopping).

    Attributes:
        schedule: its name, or `WHOLE_GRID`.
        selection: the rule that picked.
        points: settings in the grid.
        fine_tunes: what tuning on one task costs: points x runs.
        accuracy: target accuracy of the picked runs, runs x tasks.
        chosen: what was picked for each task.
        estimate: interquartile mean of `accuracy`; the picks are held fixed in the interval.
    """

    schedule: str
    selection: str
    points: int
    fine_tunes: int
    accuracy: Matrix
    chosen: tuple[dict[str, Any], ...]
    estimate: Estimate

    def to_json(self) -> dict[str, Any]:
        """Return the entry of `results.json`."""
        return {
            "schedule": self.schedule,
            "selection": self.selection,
            "points": self.points,
            "fine_tunes_per_task": self.fine_tunes,
            "target_accuracy": self.estimate.to_json(),
            "chosen": list(self.chosen),
        }


def tune(scores: list[RowScores], resamples: int) -> list[Tuned]:
    """Tune each schedule of the grid, and the whole grid, by each selection rule."""
    grid = [row for row in scores if row.row.kind == "grid"]
    groups: dict[str, list[RowScores]] = {}
    for row in grid:
        groups.setdefault(row.row.schedule, []).append(row)
    if len(groups) > 1:
        groups[WHOLE_GRID] = grid
    return [
        _tuned(schedule, rule, rows, resamples)
        for schedule, rows in groups.items()
        for rule in SELECTIONS
    ]


def grid_scores(rows: list[RowScores]) -> GridScores:
    """Return what was measured at every point: each row at each of its base LRs."""
    return GridScores(
        _points(rows, "source_accuracy"),
        _points(rows, "source_validation_loss"),
        _points(rows, "target_accuracy"),
    )


def cross_fitted(rows: list[RowScores]) -> Array:
    """Return what an oracle scores that chooses by other target images than it is scored by.

    For each task, the setting with the highest accuracy on one half of the target's test images is
    scored on the other half, and the other way round; the mean of both is free of the optimism of
    a maximum of noisy scores.

    Args:
        rows: of the grid; NaN where a record does not tell the halves apart.

    Returns:
        Target accuracy, `[runs, tasks]`.
    """
    first, second = (_points(rows, half) for half in HALVES)
    tasks = np.arange(first.shape[-1])
    scored = [
        on[by.mean(axis=1).argmax(axis=0), :, tasks].T
        for by, on in ((first, second), (second, first))
    ]
    return np.asarray(np.mean(scored, axis=0))


def tuned_on_others(rows: list[RowScores]) -> tuple[NDArray[np.int64], Array]:
    """Return what the one setting scores on a task that is best, by target, on all other tasks.

    What a schedule reaches that is tuned once for a whole family, with real labels at hand, and
    not for the task itself. There are one or more other tasks.

    Args:
        rows: of the grid; NaN where a run is missing. A setting that lacks one is not chosen.

    Returns:
        Points chosen `[tasks]`, and target accuracy `[runs, tasks]`.
    """
    accuracy = _points(rows, "target_accuracy")
    each, tasks = accuracy.mean(axis=1), accuracy.shape[-1]
    means = np.stack([np.delete(each, task, axis=1).mean(axis=1) for task in range(tasks)], axis=1)
    means = np.where(np.isnan(means), -np.inf, means)
    picks = means.argmax(axis=0)
    return picks, accuracy[picks, :, np.arange(tasks)].T


def grid_settings(rows: list[RowScores]) -> list[tuple[str, float]]:
    """Return label and base-LR factor of every point of `grid_scores`, in its order."""
    return [(row.row.label, factor) for row in rows for factor in row.factors]


def _tuned(schedule: str, rule: str, rows: list[RowScores], resamples: int) -> Tuned:
    grid = grid_scores(rows)
    picks, accuracy = select(rule, grid)
    settings = grid_settings(rows)
    chosen = tuple(
        {
            "task": task,
            "label": settings[pick][0],
            "factor": settings[pick][1],
            "target_accuracy": _or_none(accuracy[:, task].mean()),
        }
        for task, pick in enumerate(picks.tolist())
    )
    found = estimate(accuracy, resamples=resamples)
    return Tuned(schedule, rule, grid.points, grid.fine_tunes, accuracy, chosen, found)


def _points(rows: list[RowScores], metric: str) -> Array:
    """Stack rows x base LRs into `[points, runs, tasks]`."""
    return np.concatenate([row.values[metric] for row in rows])


def _or_none(value: float) -> float | None:
    return round(float(value), 6) if np.isfinite(value) else None
