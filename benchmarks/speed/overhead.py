"""What a controller adds to a training step, in pairs of steps with and without it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from l2o.benchmarks.speed.training import Seconds, Training, Workload, make_model

Array = NDArray[np.float64]
Rows = NDArray[np.int64] | slice
MODES = ("groups", "update_scale")
INTERVALS = (1, 10, 50)
_RESAMPLES = 2000


def overhead_of_steps(
    workload: Workload,
    optimizer: str,
    rounds: int,
    progress: Callable[[str], None] = lambda _: None,
) -> list[dict[str, Any]]:
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
    phases = len(contenders)
    for phase in range(phases):
        trainings = {
            mode: Training(
                workload, optimizer, device, mode, 2, models[(place + phase) % len(models)]
            )
            for place, mode in enumerate(contenders)
        }
        _take_turns(trainings, 1)
        share = (rounds + phase) // phases
        for mode, pairs in _take_turns(trainings, share).items():
            taken[mode] += pairs
        progress(f"{workload.name}, {optimizer}: {sum(map(len, taken.values()))} pairs of steps")
    bare = taken[None]
    return [
        {"model": workload.name, "optimizer": optimizer, "mode": mode, "interval": interval}
        | overhead(bare, taken[mode], interval)
        for mode in MODES
        for interval in INTERVALS
    ]


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


def overhead(
    bare: Sequence[Sequence[Seconds]], controlled: Sequence[Sequence[Seconds]], interval: int
) -> dict[str, Any]:
    """Return what a controller adds to a step, in percent, with 95 % bootstrap intervals.

    Args:
        bare: `[rounds][quiet, deciding]`, without a controller (both steps alike).
        controlled: the same with one.
        interval: K, optimizer steps per decision.

    Returns:
        `percent`: from the part of the step that a controller takes part in, over the whole step;
        `whole_percent`: from whole steps, which is the same with the noise of forward and backward;
        each with `..._interval`; and medians in milliseconds.

    Example:
        >>> bare = [[Seconds(1.0, 0.1), Seconds(1.0, 0.1)]] * 3
        >>> mine = [[Seconds(1.0, 0.1), Seconds(1.1, 0.2)]] * 3
        >>> found = overhead(bare, mine, interval=10)
        >>> round(found["percent"], 6), round(found["whole_percent"], 6)
        (1.0, 1.0)
    """
    whole_bare, whole, part_bare, part = (
        np.array([[getattr(step, key) for step in pair] for pair in series])
        for key in ("whole", "part")
        for series in (bare, controlled)
    )
    weights = np.array([interval - 1, 1]) / interval
    draws = np.random.default_rng(0).integers(len(bare), size=(_RESAMPLES, len(bare)))

    def by_part(rows: Rows) -> Array:
        added = np.median(part[rows] - part_bare[rows], axis=-2) @ weights
        step = np.median(whole_bare[rows].reshape(*added.shape, -1), axis=-1)
        return np.asarray(100.0 * added / step)

    def by_whole(rows: Rows) -> Array:
        return np.asarray(
            100.0 * (np.median(whole[rows] / whole_bare[rows], axis=-2) @ weights - 1.0)
        )

    every = slice(None)
    return {
        "percent": float(by_part(every)),
        "percent_interval": _interval(by_part(draws)),
        "whole_percent": float(by_whole(every)),
        "whole_percent_interval": _interval(by_whole(draws)),
        "step_ms": float(np.median(whole_bare)) * 1e3,
        "quiet_ms": float(np.median((part - part_bare)[:, 0])) * 1e3,
        "deciding_ms": float(np.median((part - part_bare)[:, 1])) * 1e3,
        "rounds": len(bare),
    }


def overhead_of_windows(
    workload: Workload, optimizer: str, device: torch.device, rounds: int
) -> list[dict[str, Any]]:
    """Measure on an accelerator, where only whole windows of steps tell the time.

    A window is K steps, 10 at least, with a synchronisation before and after; windows with and
    without a controller alternate.
    """
    rows = []
    for mode in MODES:
        for interval in INTERVALS:
            steps = max(interval, 10)
            bare = Training(workload, optimizer, device)
            controlled = Training(workload, optimizer, device, mode, interval)
            ratios, seconds = [], []
            for number in range(rounds + 1):
                without, with_it = (_window(t, steps) for t in (bare, controlled))
                if number:
                    ratios.append(with_it / without)
                    seconds.append(without / steps)
            draws = np.random.default_rng(0).choice(ratios, size=(_RESAMPLES, rounds))
            percent = 100.0 * (statistics.median(ratios) - 1.0)
            spread = _interval(100.0 * (np.median(draws, axis=-1) - 1.0))
            rows.append(
                {
                    "model": workload.name,
                    "optimizer": optimizer,
                    "mode": mode,
                    "interval": interval,
                    "percent": percent,
                    "percent_interval": spread,
                    "whole_percent": percent,
                    "whole_percent_interval": spread,
                    "step_ms": statistics.median(seconds) * 1e3,
                    "rounds": rounds,
                }
            )
    return rows


def _window(training: Training, steps: int) -> float:
    torch.cuda.synchronize(training.device)
    started = time.perf_counter()
    for _ in range(steps):
        training.step()
    torch.cuda.synchronize(training.device)
    return time.perf_counter() - started


def _interval(draws: Array) -> list[float]:
    return [float(end) for end in np.quantile(draws, [0.025, 0.975])]
