"""What a controller adds to a training step, in pairs of steps with and without it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from l2o.benchmarks.speed.training import Seconds, Training, Workload, make_model
from l2o.benchmarks.statistics import Array, Strata, estimate

MODES = ("groups", "update_scale")
INTERVALS = (1, 10, 50)
Pairs = Sequence[Sequence[Seconds]]
"""`[rounds][quiet, deciding]` steps."""


@dataclass(frozen=True, kw_only=True)
class Overhead:
    """What a controller adds to a step, in percent, with 95 % bootstrap intervals over rounds.

    Attributes:
        percent: from the part of the step that a controller takes part in, over the whole step.
        whole_percent: from whole steps: the same with the noise of forward and backward.
        step_ms: median of the whole step without a controller; `quiet_ms` and `deciding_ms`: what a
            step of either kind takes longer, where they are told apart.
    """

    percent: float
    percent_interval: Sequence[float]
    whole_percent: float
    whole_percent_interval: Sequence[float]
    step_ms: float
    quiet_ms: float | None = None
    deciding_ms: float | None = None
    rounds: int


@dataclass(frozen=True, kw_only=True)
class Row(Overhead):
    """The overhead of a mode at an interval, on a network under an optimizer."""

    model: str
    optimizer: str
    mode: str
    interval: int


def rows_of_steps(
    workload: Workload, optimizer: str, rounds: int, progress: Callable[[str], None]
) -> list[Row]:
    """Measure on the CPU, one row per mode and interval.

    A controller takes two kinds of steps, quiet ones and those that decide; each round takes both
    kinds with every contender in turn. K steps between decisions cost (K − 1) quiet steps and one
    that decides. The contenders trade networks in the middle, so that where a network lies in
    memory does not count.

    Args:
        workload: what is trained.
        optimizer: key of `l2o.benchmarks.speed.training.OPTIMIZERS`.
        rounds: of two steps per contender.
        progress: called with a line now and then.
    """
    device = torch.device("cpu")
    contenders: tuple[str | None, ...] = (None, *MODES)
    models = [make_model(workload, device) for _ in contenders]
    taken: dict[str | None, list[list[Seconds]]] = {mode: [] for mode in contenders}
    for phase in range(len(contenders)):
        trainings = {
            mode: Training(workload, optimizer, device, mode, 2, models[(at + phase) % len(models)])
            for at, mode in enumerate(contenders)
        }
        _take_turns(trainings, 1)
        found = _take_turns(trainings, (rounds + phase) // len(contenders))
        for mode, pairs in found.items():
            taken[mode] += pairs
        progress(f"{workload.name}, {optimizer}: {sum(map(len, taken.values()))} pairs of steps")
    names: dict[str, Any] = {"model": workload.name, "optimizer": optimizer}
    return [
        Row(**names, mode=mode, interval=k, **vars(overhead(taken[None], taken[mode], k)))
        for mode in MODES
        for k in INTERVALS
    ]


def overhead_of_steps(
    workload: Workload, optimizer: str, rounds: int, progress: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Return `rows_of_steps` as plain data."""
    return [dict(vars(row)) for row in rows_of_steps(workload, optimizer, rounds, progress)]


def _take_turns(
    trainings: dict[str | None, Training], rounds: int
) -> dict[str | None, list[list[Seconds]]]:
    """Return, per contender and round, the times of a quiet step and of one that decides."""
    taken: dict[str | None, list[list[Seconds]]] = {mode: [] for mode in trainings}
    order = list(trainings)
    for number in range(rounds):
        shift = number % len(order)
        for mode in (*order[shift:], *order[:shift]):
            taken[mode].append([trainings[mode].step(), trainings[mode].step()])
    return taken


def overhead(bare: Pairs, controlled: Pairs, interval: int) -> Overhead:
    """Return what a controller adds to a step at K = `interval` steps per decision.

    Without a controller both steps of a pair are alike.

    Example:
        >>> bare = [[Seconds(1.0, 0.1), Seconds(1.0, 0.1)]] * 3
        >>> mine = [[Seconds(1.0, 0.1), Seconds(1.1, 0.2)]] * 3
        >>> found = overhead(bare, mine, interval=10)
        >>> round(found.percent, 6), round(found.whole_percent, 6)
        (1.0, 1.0)
    """
    whole_bare, whole, part_bare, part = (
        np.array([[getattr(step, key) for step in pair] for pair in series])
        for key in ("whole", "part")
        for series in (bare, controlled)
    )
    weights = np.array([interval - 1, 1]) / interval

    def by_part(rows: Array) -> Array:
        added = np.median(part[rows] - part_bare[rows], axis=-2) @ weights
        step = np.median(whole_bare[rows].reshape(*added.shape, -1), axis=-1)
        return np.asarray(100.0 * added / step)

    def by_whole(rows: Array) -> Array:
        longer = np.median(whole[rows] / whole_bare[rows], axis=-2) @ weights
        return np.asarray(100.0 * (longer - 1.0))

    (percent, span), (whole_percent, whole_span) = (
        _over_rounds(each, len(bare)) for each in (by_part, by_whole)
    )
    quiet, deciding = 1e3 * np.median(part - part_bare, axis=0)
    return Overhead(
        percent=percent,
        percent_interval=span,
        whole_percent=whole_percent,
        whole_percent_interval=whole_span,
        step_ms=float(np.median(whole_bare)) * 1e3,
        quiet_ms=float(quiet),
        deciding_ms=float(deciding),
        rounds=len(bare),
    )


def _over_rounds(statistic: Callable[[Array], Array], rounds: int) -> tuple[float, list[float]]:
    """Return a statistic of the numbers of rounds, and its interval."""

    def of_numbers(strata: Strata) -> Array:
        (numbers,) = strata
        return statistic(numbers[..., 0].astype(int))

    found = estimate(np.arange(rounds, dtype=np.float64)[:, None], of_numbers)
    return found.value, [found.low, found.high]


def rows_of_windows(
    workload: Workload, optimizer: str, device: torch.device, rounds: int
) -> list[Row]:
    """Measure on an accelerator, where only whole windows of steps tell the time.

    A window is K steps, 10 at least, with a synchronisation before and after; windows with and
    without a controller alternate.
    """
    return [
        _row_of_windows(workload, optimizer, device, rounds, mode, interval)
        for mode in MODES
        for interval in INTERVALS
    ]


def _row_of_windows(
    workload: Workload, optimizer: str, device: torch.device, rounds: int, mode: str, interval: int
) -> Row:
    steps = max(interval, 10)
    bare = Training(workload, optimizer, device)
    controlled = Training(workload, optimizer, device, mode, interval)
    found = [[_window(each, steps) for each in (bare, controlled)] for _ in range(rounds + 1)][1:]
    without, longer = np.array(found).T

    def percent(numbers: Array) -> Array:
        return np.asarray(100.0 * (np.median((longer / without)[numbers], axis=-1) - 1.0))

    value, span = _over_rounds(percent, rounds)
    return Row(
        model=workload.name,
        optimizer=optimizer,
        mode=mode,
        interval=interval,
        percent=value,
        percent_interval=span,
        whole_percent=value,
        whole_percent_interval=span,
        step_ms=float(np.median(without)) / steps * 1e3,
        rounds=rounds,
    )


def _window(training: Training, steps: int) -> float:
    torch.cuda.synchronize(training.device)
    started = time.perf_counter()
    training.steps(steps)
    torch.cuda.synchronize(training.device)
    return time.perf_counter() - started
