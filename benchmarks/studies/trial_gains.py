"""What trials of tasks reach at their points: the best ones, the gentlest ones, and by how much."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from l2o.configs.load import load_config
from l2o.policies.offline.fit import gains_of
from l2o.policies.offline.points import Point
from l2o.policies.offline.trial import Trial

Scores = NDArray[np.float64]


def parts(
    trials: Sequence[Trial], axis: str
) -> Iterator[tuple[NDArray[np.bool_], list[Trial], list[Trial]]]:
    """Yield for each kind where its tasks are, the others, and its own."""
    kinds = np.array([_kind_of(trial, axis) for trial in trials])
    for kind in dict.fromkeys(kinds):
        own = kinds == kind
        others = [trial for trial, its in zip(trials, own, strict=True) if not its]
        yield own, others, [trial for trial, its in zip(trials, own, strict=True) if its]


def _kind_of(trial: Trial, axis: str) -> str:
    """Return what a trial is of; optimizers of one family are one, whatever their settings."""
    told = trial.facts.get(axis)
    if axis != "optimizer" or not isinstance(told, int):
        return str(told)
    named = _optimizers()
    return named[told].removesuffix("w") if told < len(named) else str(told)


@cache
def _optimizers() -> list[str]:
    """Return the names of the optimizers that trials have the numbers of."""
    config: Any = load_config("train", "asg-probing")
    return [each.name for each in config.environment.optimizers]


def columns_of(trials: Sequence[Trial], axis: str) -> NDArray[np.float64]:
    """Return which kind each trial is of, a column of 0 and 1 for each kind."""
    kinds = np.array([_kind_of(trial, axis) for trial in trials])
    return np.stack([kinds == kind for kind in dict.fromkeys(kinds)], axis=1).astype(np.float64)


def reached(trials: Sequence[Trial], chosen: NDArray[np.int64]) -> Scores:
    """Return the target accuracy of each trial at the point chosen for it `[trials]`."""
    found = [trial.target.mean(axis=0)[point] for trial, point in zip(trials, chosen, strict=True)]
    return np.array(found, dtype=np.float64)


def best_single(trials: Sequence[Trial]) -> int:
    """Return the point that is best in the mean over tasks."""
    return int(np.mean([gains_of(trial) for trial in trials], axis=0).argmax())


def gentlest(trials: Sequence[Trial], points: Sequence[Point], share: float) -> NDArray[np.int64]:
    """Return the points that move least with all but a share of the gain on the source `[tasks]`.

    The same rule as `l2o.control.suggesting.choosing`, where movement is measured.
    """
    sizes = np.array([point.backbone for point in points])
    chosen = []
    for trial in trials:
        source, best = trial.source, float(trial.source.max())
        close = np.flatnonzero(source >= best - share * max(best - trial.chance, 0.0))
        chosen.append(min(close, key=lambda point: (sizes[point], -source[point])))
    return np.array(chosen)


def first_points(trial: Trial, count: int) -> Trial:
    """Return a trial with its first points alone: others may have been tried beside them."""
    cut = {name: getattr(trial, name)[..., :count] for name in ("target", "source", "proxy")}
    return Trial(**{**vars(trial), **cut, "diverged": trial.diverged[:count]})


def by_task(trials: Sequence[Trial], gains: Scores) -> Scores:
    """Return the mean over the seeds of each task `[tasks]` of what its trials won `[trials]`.

    Example:
        >>> from types import SimpleNamespace
        >>> trials = [SimpleNamespace(task=("digits", 7)), SimpleNamespace(task=("digits", 3))]
        >>> by_task([*trials, trials[0]], np.array([1.0, 5.0, 2.0])).tolist()
        [1.5, 5.0]
    """
    rows: dict[tuple[str, int], list[int]] = {}
    for row, trial in enumerate(trials):
        rows.setdefault(trial.task, []).append(row)
    return np.array([gains[own].mean() for own in rows.values()])


def best_of_each(trials: Sequence[Trial], single: int | None = None) -> Scores:
    """Return what the best point of each trial has over a single one `[trials]`.

    It is chosen on half of the task's test images and scored on the other; the single one is the
    best over these tasks unless given.
    """
    halves = np.stack([trial.target for trial in trials])
    rows = np.arange(len(trials))
    best = 0.5 * sum(halves[rows, 1 - h, halves[:, h].argmax(axis=1)] for h in (0, 1))
    one = best_single(trials) if single is None else single
    return best - reached(trials, np.full(len(trials), one))


def best_by_another_seed(trials: Sequence[Trial], single: int | None = None) -> Scores:
    """Return what the best point of each task has over a single one `[tasks of two seeds]`.

    It is chosen on half of the test images after the run with one seed, and scored on the other
    half after that with the next. The single one is the best over all trials unless given.
    """
    one = best_single(trials) if single is None else single
    runs: dict[tuple[str, int], list[Trial]] = {}
    for trial in trials:
        runs.setdefault(trial.task, []).append(trial)
    return np.array(
        [
            np.mean([_chosen_elsewhere(told, own, one) for told, own in permutations(of_task, 2)])
            for of_task in runs.values()
            if len(of_task) > 1
        ]
    )


def _chosen_elsewhere(told: Trial, own: Trial, single: int) -> float:
    found = [own.target[1 - h, told.target[h].argmax()] - own.target[1 - h, single] for h in (0, 1)]
    return float(np.mean(found))
