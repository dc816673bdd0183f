"""Named rules that pick one setting of a tuning grid per task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from l2o.registry import lookup

Array = NDArray[np.float64]


@dataclass(frozen=True)
class GridScores:
    """What was measured at every point of a tuning grid; missing runs are NaN.

    Attributes:
        validation_accuracy: accuracy on held-out source images, `[points, runs, tasks]`.
        validation_loss: cross-entropy on them; infinite or NaN counts as worst.
        target_accuracy: accuracy on the real target images.
    """

    validation_accuracy: Array
    validation_loss: Array
    target_accuracy: Array

    @property
    def points(self) -> int:
        """Settings in the grid."""
        return self.target_accuracy.shape[0]

    @property
    def fine_tunes(self) -> int:
        """The budget: fine-tunes that tuning on one task costs."""
        return self.points * self.target_accuracy.shape[1]


Rule = Callable[[GridScores], NDArray[np.int64]]
"""Returns the index of the chosen point for each task, `[tasks]`."""


def by_source_validation(scores: GridScores) -> NDArray[np.int64]:
    """Choose by the highest accuracy on held-out source images, ties by the lower loss there.

    Means over runs. This is what a user can do, who has no labelled target data.
    """
    loss = np.where(np.isfinite(scores.validation_loss), scores.validation_loss, np.inf)
    return _best(scores.validation_accuracy.mean(axis=1), -loss.mean(axis=1))


def by_target_accuracy(scores: GridScores) -> NDArray[np.int64]:
    """Choose by the target accuracy itself: an oracle that no user has.

    It takes the maximum of noisy means that it is then scored by, so it is optimistic, too.
    """
    accuracy = scores.target_accuracy.mean(axis=1)
    return _best(accuracy, np.zeros_like(accuracy))


SELECTIONS: dict[str, Rule] = {
    "source_validation": by_source_validation,
    "target_accuracy": by_target_accuracy,
}


def select(rule: str, scores: GridScores) -> tuple[NDArray[np.int64], Array]:
    """Pick one point per task and return the picks and their target accuracy.

    Args:
        rule: a key of `SELECTIONS`.
        scores: of the whole grid, `[points, runs, tasks]`.

    Returns:
        The picks `[tasks]`, and the target accuracy of their runs `[runs, tasks]`.

    Raises:
        ValueError: an unknown rule, or an empty grid.
    """
    if scores.points == 0:
        raise ValueError("nothing to select from: the tuning grid is empty")
    picks = lookup("selection", SELECTIONS, rule)(scores)
    tasks = np.arange(len(picks))
    return picks, scores.target_accuracy[picks, :, tasks].T


def _best(first: Array, second: Array) -> NDArray[np.int64]:
    """Return, per column, the row with the highest `first`, ties by `second`; NaN is worst."""
    first = np.asarray(np.round(np.where(np.isnan(first), -np.inf, first), 9), np.float64)
    lowest = float(np.finfo(np.float64).min)
    second = np.where(first == first.max(axis=0), np.maximum(second, lowest), -np.inf)
    return np.asarray(second.argmax(axis=0), dtype=np.int64)
