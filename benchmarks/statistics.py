"""Statistics of benchmarks: pure functions on matrices of scores, `[runs, tasks]` everywhere.

Several matrices, one for each family of tasks, are *strata*: statistics pool them, resampling stays
within each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, ConfigDict, PlainSerializer
from pydantic.dataclasses import dataclass as checked
from pydantic_core import to_jsonable_python
from scipy import stats

Array = NDArray[np.float64]
Matrix = Array
"""Scores `[runs, tasks]`; a run that is missing is NaN."""
Strata = Sequence[Matrix]
"""The matrices of several families."""
Statistic = Callable[[Strata], Array]
"""Reduces runs and tasks of all strata together: `[..., R, T]` each -> `[...]`."""
LEVEL = 0.95
"""Coverage aimed at by every interval."""
NAN = float("nan")


def _read(value: object) -> object:
    if value is not None and not isinstance(value, int | float):
        raise ValueError(f"must be a number or null, got {value!r:.80}")
    return NAN if value is None else value


def _plain(value: float) -> float | None:
    return round(float(value), 6) if np.isfinite(value) else None


Number = Annotated[float, BeforeValidator(_read), PlainSerializer(_plain)]
"""A number that may be unknown: NaN, which JSON has no word for, is null there."""


@checked(frozen=True, config=ConfigDict(extra="forbid"))
class Estimate:
    """A statistic and its bootstrap interval.

    Attributes:
        value: the statistic; NaN without any run.
        low: lower end of the interval; NaN where there is too little to resample.
        high: upper end.
        tasks: tasks that it rests on.
        runs: runs that it rests on, those of all tasks together.
    """

    value: Number = NAN
    low: Number = NAN
    high: Number = NAN
    tasks: int = 0
    runs: int = 0

    def to_json(self) -> Mapping[str, Any]:
        """Return plain JSON data; what is not known is null."""
        plain: Mapping[str, Any] = to_jsonable_python(self)
        return plain

    def scaled(self, by: float) -> Estimate:
        """Return the same in another unit."""
        return Estimate(by * self.value, by * self.low, by * self.high, self.tasks, self.runs)

    @property
    def is_known(self) -> bool:
        """Whether there is a value."""
        return bool(np.isfinite(self.value))

    @property
    def has_interval(self) -> bool:
        """Whether there is an interval."""
        return bool(np.isfinite(self.low))

    @property
    def ends(self) -> tuple[float, float]:
        """The interval, or the value twice where there is none."""
        return (self.low, self.high) if self.has_interval else (self.value, self.value)


@checked(frozen=True, config=ConfigDict(extra="forbid"))
class Difference(Estimate):
    """A paired comparison of two sets of runs; `value` is that of the first minus the second.

    Attributes:
        mean: plain mean of the paired differences.
        improvement: probability that a run of the first beats one of the second on a task.
        tasks_better: tasks on which the first is better in the mean.
        new_tasks: interval of the mean when tasks are resampled, then runs within them: what to
            expect on tasks like these, not only on these; NaN with fewer than three tasks.
    """

    mean: Number = NAN
    improvement: Number = NAN
    tasks_better: int = 0
    new_tasks: tuple[Number, Number] = (NAN, NAN)


@dataclass(frozen=True)
class Design:
    """What a resample draws with replacement.

    Attributes:
        tasks: whether tasks are drawn; an incomplete task is then left out, else an incomplete run.
        runs: "" for none; "within": anew within each task; "across": the same for all tasks.
        least: runs and tasks without which there is no interval.
    """

    tasks: bool
    runs: str
    least: tuple[int, int]

    def draw(self, rng: np.random.Generator, scores: Matrix, resamples: int) -> Array:
        """Return resamples `[B, R, T]` of scores `[R, T]`: tasks are drawn before runs are."""
        runs, tasks = scores.shape
        columns, rows = np.arange(tasks), np.arange(runs)[:, None]
        if self.tasks:
            columns = rng.integers(tasks, size=(resamples, 1, tasks))
        if self.runs:
            within = tasks if self.runs == "within" else 1
            rows = rng.integers(runs, size=(resamples, runs, within))
        return np.asarray(scores[rows, columns])


RUNS = Design(tasks=False, runs="within", least=(2, 1))
"""Tasks are fixed strata: the chance in the runs (heads, batches), not in the choice of tasks."""
TASKS = Design(tasks=True, runs="", least=(1, 2))
"""Whole tasks, each with all its runs: the choice of tasks."""
TASKS_AND_RUNS = Design(tasks=True, runs="within", least=(2, 3))
"""Two stages (Davison & Hinkley, Bootstrap Methods and their Application, 1997, section 3.8)."""
CROSSED = Design(tasks=True, runs="across", least=(1, 2))
"""Tasks, and independently runs that all tasks share (Owen, The Pigeonhole Bootstrap, 2007)."""


def interquartile_mean(strata: Strata) -> Array:
    """Return the mean of the middle half of all runs on all tasks.

    A quarter of the values (rounded down) is cut off at each end (Agarwal et al., "Deep
    Reinforcement Learning at the Edge of the Statistical Precipice", NeurIPS 2021).

    Example:
        >>> float(interquartile_mean([np.array([[0.0], [1.0]]), np.array([[3.0], [100.0]])]))
        2.0
    """
    return np.asarray(stats.trim_mean(_pooled(strata), 0.25, axis=-1))


def mean(strata: Strata) -> Array:
    """Return the plain mean of all runs on all tasks."""
    return np.asarray(_pooled(strata).mean(axis=-1))


def complete(*matrices: Matrix, by_task: bool = False) -> tuple[Matrix, ...]:
    """Leave out what any matrix lacks, from all of them.

    Args:
        *matrices: of one shape `[R, T]`.
        by_task: leave out tasks that lack a run; else tasks that lack every run, then runs that are
            lacking on any task.

    Raises:
        ValueError: matrices of different shapes, or not two-dimensional.
    """
    shapes = {matrix.shape for matrix in matrices}
    if len(shapes) != 1 or len(next(iter(shapes))) != 2:
        raise ValueError(f"need runs x tasks matrices of one shape, got shapes {sorted(shapes)}")
    missing = np.isnan(np.stack(matrices))
    tasks = ~(missing.any(axis=1) if by_task else missing.all(axis=1)).any(axis=0)
    runs = ~missing[:, :, tasks].any(axis=(0, 2))
    return tuple(matrix[np.ix_(runs, tasks)] for matrix in matrices)


def bootstrap(
    strata: Strata, statistic: Statistic, design: Design, *, resamples: int, seed: int
) -> tuple[float, float]:
    """Return the percentile-bootstrap interval of a statistic at `LEVEL`.

    The draws are numpy's `default_rng(seed)`, stratum by stratum: equal seeds and shapes give equal
    draws. Drawing whole tasks, they are those of `scipy.stats.bootstrap`.
    """
    rng = np.random.default_rng(seed)
    draws = statistic([design.draw(rng, scores, resamples) for scores in strata])
    tail = (1.0 - LEVEL) / 2.0
    low, high = np.quantile(draws, [tail, 1.0 - tail])
    return float(low), float(high)


def estimate(
    scores: Matrix | Strata,
    statistic: Statistic = interquartile_mean,
    design: Design = RUNS,
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> Estimate:
    """Return a statistic with its bootstrap interval.

    With a handful of runs or tasks such intervals are somewhat too narrow.

    Args:
        scores: `[R, T]`, or that of each family; what is incomplete is left out.
        statistic: what to compute.
        design: what is resampled. Where runs are to be, and each of three or more tasks has a
            single one, tasks are: chance is in both then, and nothing tells them apart.
        resamples: bootstrap draws.
        seed: of the draws.

    Example:
        >>> estimate(np.array([[1.0], [1.0], [1.0]])).low
        1.0
    """
    given = [scores] if isinstance(scores, np.ndarray) else scores
    kept = [complete(each, by_task=design.tasks)[0] for each in given]
    kept = [each for each in kept if each.size]
    if not kept:
        return Estimate()
    value = float(statistic(kept))
    design = _possible(design, kept)
    tasks, runs = sum(each.shape[1] for each in kept), sum(each.size for each in kept)
    least = np.array([each.shape for each in kept]).min(axis=0)
    if (least < design.least).any():
        return Estimate(value, NAN, NAN, tasks, runs)
    ends = bootstrap(kept, statistic, design, resamples=resamples, seed=seed)
    return Estimate(value, *ends, tasks, runs)


def _possible(design: Design, strata: Strata) -> Design:
    """Return what can be resampled: tasks in place of runs where there is one run of each."""
    single = all(len(scores) == 1 and scores.shape[1] >= 3 for scores in strata)
    return TASKS if design is RUNS and single else design


def probability_of_improvement(first: Matrix, second: Matrix) -> float:
    """Return P(a run of `first` beats a run of `second` on the same task), ties counted half.

    The mean over tasks of the Mann-Whitney statistic (Agarwal et al., 2021).

    Example:
        >>> probability_of_improvement(np.array([[2.0], [1.0]]), np.array([[1.0], [0.0]]))
        0.875
    """
    first, second = complete(first, second)
    if first.size == 0:
        return NAN
    above = first[:, None, :] > second[None, :, :]
    equal = first[:, None, :] == second[None, :, :]
    return float((above + 0.5 * equal).mean())


def paired_difference(
    first: Matrix, second: Matrix, *, resamples: int = 2000, seed: int = 0
) -> Difference:
    """Return the mean difference of runs that share task, seed and base learning rate.

    Entry `[r, t]` of both must come from the same task and the same run seed. Runs are resampled in
    pairs within each task.

    Raises:
        ValueError: matrices of different shapes.
    """
    first, second = complete(first, second)
    found = estimate(first - second, mean, resamples=resamples, seed=seed)
    further = estimate(first - second, mean, TASKS_AND_RUNS, resamples=resamples, seed=seed)
    return _difference(found, [first], [second], (further.low, further.high))


def difference_of_means(
    first: Strata, second: Strata, *, resamples: int = 2000, seed: int = 0
) -> Difference:
    """Return the difference of the interquartile means of runs on the same tasks.

    The interval resamples whole tasks within each family, with what both scored there.

    Args:
        first: of each family, `[runs, tasks]`; tasks that either lacks a run of are left out.
        second: in the same order, of the same shapes.
        resamples: bootstrap draws.
        seed: of the draws.

    Raises:
        ValueError: shapes differ.

    Example:
        >>> one, other = np.array([[0.6, 0.8]]), np.array([[0.5, 0.5]])
        >>> round(difference_of_means([one], [other], resamples=50).value, 3)
        0.2
    """
    shapes = [scores.shape for scores in first], [scores.shape for scores in second]
    if shapes[0] != shapes[1]:
        raise ValueError(f"need scores on the same tasks and runs, got shapes {shapes}")
    pairs = [complete(*pair, by_task=True) for pair in zip(first, second, strict=True)]
    joined = [np.concatenate(pair) for pair in pairs]
    found = estimate(joined, _between_halves, TASKS, resamples=resamples, seed=seed)
    whole = Estimate(found.value, found.low, found.high, found.tasks, found.runs // 2)
    return _difference(whole, [one for one, _ in pairs], [other for _, other in pairs])


def _between_halves(strata: Strata) -> Array:
    """Return the difference of interquartile means of the first and the second half of the runs."""
    halves = [np.split(scores, 2, axis=-2) for scores in strata]
    first, second = ([pair[place] for pair in halves] for place in (0, 1))
    return interquartile_mean(first) - interquartile_mean(second)


def _difference(
    found: Estimate, first: Strata, second: Strata, new_tasks: tuple[float, float] = (NAN, NAN)
) -> Difference:
    if found.tasks == 0:
        return Difference()
    one, other = (
        np.concatenate([s for s in strata if s.size], axis=1) for strata in (first, second)
    )
    gaps = (one - other).mean(axis=0)
    return Difference(
        **vars(found),
        mean=float(gaps.mean()),
        improvement=probability_of_improvement(one, other),
        tasks_better=int((gaps > 0).sum()),
        new_tasks=new_tasks,
    )


def _pooled(strata: Strata) -> Array:
    return np.concatenate([s.reshape(*s.shape[:-2], -1) for s in strata], axis=-1)
