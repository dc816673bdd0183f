"""Estimates over several families, with intervals from tasks resampled within each family."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from l2o.benchmarks.cells.cell import finite
from l2o.benchmarks.statistics import Array, probability_of_improvement

Strata = Sequence[Array]
"""Scores of each family, `[tasks, runs]` (or `[..., tasks, runs]`)."""
Statistic = Callable[[Strata], Array]
"""Reduces the last two axes of all families together: `[..., T, R]` each -> `[...]`."""
LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A statistic over families, and its interval.

    Attributes:
        value: the statistic; NaN without any run.
        low: lower end; NaN where a family has fewer than two tasks.
        high: upper end.
        tasks: number of tasks it rests on.
        runs: number of runs.
    """

    value: float
    low: float
    high: float
    tasks: int
    runs: int

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON data; what is not known is null."""
        ends = {"value": self.value, "low": self.low, "high": self.high}
        known = {key: finite(value) for key, value in ends.items()}
        return known | {"tasks": self.tasks, "runs": self.runs}


@dataclass(frozen=True)
class Comparison:
    """One contender against another, on the same tasks.

    Attributes:
        estimate: interquartile mean of the first minus that of the second.
        mean: plain mean of the paired differences.
        improvement: probability that a run of the first beats one of the second on the same task.
        tasks_better: tasks on which the first is better in the mean.
    """

    estimate: Estimate
    mean: float
    improvement: float
    tasks_better: int

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON data, flat."""
        return self.estimate.to_json() | {
            "mean": finite(self.mean),
            "improvement": finite(self.improvement),
            "tasks_better": self.tasks_better,
        }


def interquartile_mean(strata: Strata) -> Array:
    """Return the mean of the middle half of all runs of all families.

    Example:
        >>> float(interquartile_mean([np.array([[0.0], [1.0]]), np.array([[3.0], [100.0]])]))
        2.0
    """
    return np.asarray(stats.trim_mean(_pooled(strata), 0.25, axis=-1))


def mean(strata: Strata) -> Array:
    """Return the plain mean of all runs of all families."""
    return np.asarray(_pooled(strata).mean(axis=-1))


def estimate(strata: Strata, statistic: Statistic, resamples: int, seed: int = 0) -> Estimate:
    """Return a statistic with its stratified percentile-bootstrap interval.

    Families are the strata; within each, tasks are drawn with replacement, each with all its runs.
    So the interval covers the choice of tasks in these families, not that of families.

    Args:
        strata: of each family, `[tasks, runs]`; tasks that lack a run are left out.
        statistic: what to compute.
        resamples: bootstrap draws.
        seed: of the draws.
    """
    kept = [scores[~np.isnan(scores).any(axis=1)] for scores in strata]
    kept = [scores for scores in kept if scores.size]
    tasks, runs = sum(map(len, kept)), sum(scores.size for scores in kept)
    if not kept:
        return Estimate(np.nan, np.nan, np.nan, 0, 0)
    value = float(statistic(kept))
    if min(map(len, kept)) < 2:
        return Estimate(value, np.nan, np.nan, tasks, runs)

    def resampled(*drawn: Array, axis: int) -> Array:
        assert axis == -1
        return statistic([scores[index.astype(int)] for scores, index in zip(kept, drawn)])

    found = stats.bootstrap(
        [np.arange(len(scores)) for scores in kept],
        resampled,
        n_resamples=resamples,
        confidence_level=LEVEL,
        method="percentile",
        vectorized=True,
        axis=-1,
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Estimate(value, float(found.low), float(found.high), tasks, runs)


def compare(first: Strata, second: Strata, resamples: int, seed: int = 0) -> Comparison:
    """Compare two contenders that ran on the same tasks.

    The interval resamples tasks with what both scored there.

    Args:
        first: of each family, `[tasks, runs]`.
        second: in the same order, of the same shapes.
        resamples: bootstrap draws.
        seed: of the draws.

    Raises:
        ValueError: shapes differ.

    Example:
        >>> one, other = np.array([[0.6], [0.8]]), np.array([[0.5], [0.5]])
        >>> round(compare([one], [other], resamples=50).estimate.value, 3)
        0.2
    """
    shapes = [scores.shape for scores in first], [scores.shape for scores in second]
    if shapes[0] != shapes[1]:
        raise ValueError(f"need scores on the same tasks and runs, got shapes {shapes}")
    joined = [np.stack(pair, axis=-1) for pair in zip(first, second)]
    joined = [pair[~np.isnan(pair).any(axis=(1, 2))] for pair in joined]
    found = estimate(
        [pair.reshape(len(pair), 2 * pair.shape[1]) for pair in joined],
        _difference,
        resamples,
        seed,
    )
    if found.tasks == 0:
        return Comparison(found, np.nan, np.nan, 0)
    kept = np.concatenate(joined)
    gaps = (kept[..., 0] - kept[..., 1]).mean(axis=1)
    return Comparison(
        Estimate(found.value, found.low, found.high, found.tasks, found.runs // 2),
        float(gaps.mean()),
        probability_of_improvement(kept[..., 0].T, kept[..., 1].T),
        int((gaps > 0).sum()),
    )


def _difference(strata: Strata) -> Array:
    """Return the difference of interquartile means of scores that alternate."""
    first = interquartile_mean([scores[..., ::2] for scores in strata])
    return first - interquartile_mean([scores[..., 1::2] for scores in strata])


def _pooled(strata: Strata) -> Array:
    return np.concatenate([s.reshape(*s.shape[:-2], -1) for s in strata], axis=-1)
