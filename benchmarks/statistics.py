"""Statistics of benchmarks: pure functions on a runs x tasks matrix."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Matrix = Array
"""Scores `[runs, tasks]`; a run that is missing is NaN."""
Statistic = Callable[[Array], Array]
"""Reduces the last two axes, runs and tasks: `[..., R, T] -> [...]`."""


@dataclass(frozen=True)
class Estimate:
    """A statistic and its bootstrap interval.

    Attributes:
        value: the statistic; NaN without any complete run.
        low: lower end of the interval; NaN with fewer than two runs.
        high: upper end.
        runs: complete runs it rests on, per task.
    """

    value: float
    low: float
    high: float
    runs: int

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON data; what is not known is null."""
        ends = {"value": self.value, "low": self.low, "high": self.high}
        return {key: _finite(value) for key, value in ends.items()} | {"runs": self.runs}


@dataclass(frozen=True)
class Difference:
    """A paired comparison of two sets of runs.

    Attributes:
        estimate: mean of the paired differences, first minus second, and its interval.
        new_tasks: interval of that mean when tasks are resampled, too: what to expect on tasks like
            these, not only on these; NaN with fewer than three tasks.
        improvement: probability that a run of the first beats a run of the second on a task.
        tasks_better: tasks on which the first is better in the mean.
        tasks: number of tasks.
    """

    estimate: Estimate
    new_tasks: tuple[float, float]
    improvement: float
    tasks_better: int
    tasks: int

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON data, flat."""
        return self.estimate.to_json() | {
            "new_tasks": [_finite(end) for end in self.new_tasks],
            "improvement": _finite(self.improvement),
            "tasks_better": self.tasks_better,
            "tasks": self.tasks,
        }


def interquartile_mean(scores: Array) -> Array:
    """Return the mean of the middle half of all runs on all tasks.

    A quarter of the values (rounded down) is cut off at each end (Agarwal et al., "Deep
    Reinforcement Learning at the Edge of the Statistical Precipice", NeurIPS 2021).

    Args:
        scores: `[..., R, T]`.

    Returns:
        `[...]`.

    Example:
        >>> float(interquartile_mean(np.array([[0.0], [1.0], [3.0], [100.0]])))
        2.0
    """
    flat = np.sort(scores.reshape(*scores.shape[:-2], -1), axis=-1)
    cut = flat.shape[-1] // 4
    return np.asarray(flat[..., cut : flat.shape[-1] - cut].mean(axis=-1))


def mean(scores: Array) -> Array:
    """Return the plain mean of all runs on all tasks: `[..., R, T] -> [...]`."""
    return np.asarray(scores.mean(axis=(-2, -1)))


def complete(*matrices: Matrix) -> tuple[Matrix, ...]:
    """Leave out tasks that any matrix lacks altogether, then runs that any lacks on any task.

    Raises:
        ValueError: matrices of different shapes, or not two-dimensional.
    """
    shapes = {matrix.shape for matrix in matrices}
    if len(shapes) != 1 or len(next(iter(shapes))) != 2:
        raise ValueError(f"need runs x tasks matrices of one shape, got shapes {sorted(shapes)}")
    missing = np.isnan(np.stack(matrices))
    tasks = ~missing.all(axis=1).any(axis=0)
    runs = ~missing[:, :, tasks].any(axis=(0, 2))
    return tuple(matrix[np.ix_(runs, tasks)] for matrix in matrices)


def resample(scores: Matrix, resamples: int, seed: int = 0) -> Array:
    """Draw runs with replacement within each task (the stratified bootstrap).

    Args:
        scores: `[R, T]`.
        resamples: number of draws B.
        seed: of the draws; the same seed and shape give the same draws.

    Returns:
        `[B, R, T]`.
    """
    rng = np.random.default_rng(seed)
    drawn = rng.integers(scores.shape[0], size=(resamples, *scores.shape))
    return np.take_along_axis(scores[None], drawn, axis=1)


def estimate(
    scores: Matrix,
    statistic: Statistic = interquartile_mean,
    *,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Estimate:
    """Return a statistic with its stratified percentile-bootstrap interval.

    Tasks are fixed strata: the interval covers the chance in the runs (heads, batches), not the
    choice of tasks. With a handful of runs per task such intervals are somewhat too narrow.

    Args:
        scores: `[R, T]`; incomplete runs are left out.
        statistic: what to compute.
        resamples: bootstrap draws.
        level: coverage aimed at.
        seed: of the draws.

    Example:
        >>> estimate(np.array([[1.0], [1.0], [1.0]])).low
        1.0
    """
    (scores,) = complete(scores)
    runs = scores.shape[0]
    if runs == 0 or scores.shape[1] == 0:
        return Estimate(np.nan, np.nan, np.nan, 0)
    value = float(statistic(scores))
    if runs < 2:
        return Estimate(value, np.nan, np.nan, runs)
    tail = (1.0 - level) / 2.0
    draws = statistic(resample(scores, resamples, seed))
    low, high = np.quantile(draws, [tail, 1.0 - tail])
    return Estimate(value, float(low), float(high), runs)


def task_interval(
    scores: Matrix, *, resamples: int = 2000, level: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """Return the interval of the mean from the two-stage bootstrap: tasks, then runs within them.

    Source: Davison & Hinkley, Bootstrap Methods and their Application, 1997, section 3.8.

    Returns:
        Low and high; NaN with fewer than three tasks or two runs.
    """
    runs, tasks = scores.shape
    if runs < 2 or tasks < 3:
        return (float("nan"), float("nan"))
    rng = np.random.default_rng(seed)
    drawn_tasks = rng.integers(tasks, size=(resamples, 1, tasks))
    drawn_runs = rng.integers(runs, size=(resamples, runs, tasks))
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(mean(scores[drawn_runs, drawn_tasks]), [tail, 1.0 - tail])
    return float(low), float(high)


def probability_of_improvement(first: Matrix, second: Matrix) -> float:
    """Return P(a run of `first` beats a run of `second` on the same task), ties counted half.

    The mean over tasks of the Mann-Whitney statistic (Agarwal et al., 2021).

    Example:
        >>> probability_of_improvement(np.array([[2.0], [1.0]]), np.array([[1.0], [0.0]]))
        0.875
    """
    first, second = complete(first, second)
    if first.size == 0:
        return float("nan")
    above = first[:, None, :] > second[None, :, :]
    equal = first[:, None, :] == second[None, :, :]
    return float((above + 0.5 * equal).mean())


def paired_difference(
    first: Matrix, second: Matrix, *, resamples: int = 2000, level: float = 0.95, seed: int = 0
) -> Difference:
    """Compare two sets of runs that share tasks, seeds and base learning rates.

    Entry `[r, t]` of both must come from the same task and the same run seed. The mean difference
    is resampled in pairs within each task.

    Args:
        first: `[R, T]`.
        second: `[R, T]`.
        resamples: bootstrap draws.
        level: coverage aimed at.
        seed: of the draws.

    Raises:
        ValueError: matrices of different shapes.
    """
    first, second = complete(first, second)
    gaps = first - second
    by_task = gaps.mean(axis=0) if len(gaps) else np.zeros(gaps.shape[1])
    return Difference(
        estimate(gaps, mean, resamples=resamples, level=level, seed=seed),
        task_interval(gaps, resamples=resamples, level=level, seed=seed),
        probability_of_improvement(first, second),
        int((by_task > 0).sum()),
        gaps.shape[1],
    )


def _finite(value: float) -> float | None:
    return round(value, 6) if np.isfinite(value) else None
