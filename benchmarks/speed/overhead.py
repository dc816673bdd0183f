"""What a controller adds to a training step, in pairs of steps with and without it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from l2o.benchmarks.speed.timing import time_alternately
from l2o.benchmarks.speed.training import Seconds, Training, Workload, make_model
from l2o.benchmarks.statistics import NAN, Array, Strata, estimate
from l2o.configs.schema import Options

MODES = ("groups", "update_scale")
INTERVALS = (1, 10, 50)
Pairs = Sequence[Sequence[Seconds]]
"""`[rounds][quiet, deciding]` steps."""
Statistic = Callable[[Array], Array]
"""Reduces the numbers of rounds, `[..., rounds] -> [...]`."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A mode at an interval, on a network under an optimizer."""

    model: str
    optimizer: str
    mode: str
    interval: int


@dataclass(frozen=True, kw_only=True)
class Row(Setting):
    """What a controller adds to a step, in percent, with 95 % bootstrap intervals over rounds.

    Attributes:
        percent: from the part of the step that a controller takes part in, over the whole step.
        whole_percent: from whole steps: the same with the noise of forward and backward.
        ratio: of a step with a controller to one without, likewise; `whole_ratio`: of whole steps.
        step_ms: median of the whole step without a controller; `quiet_ms` and `deciding_ms`: what a
            step of either kind takes longer, where they are told apart.
    """

    percent: float
    percent_interval: Sequence[float]
    whole_percent: float
    whole_percent_interval: Sequence[float]
    ratio: float = NAN
    whole_ratio: float = NAN
    step_ms: float
    quiet_ms: float | None = None
    deciding_ms: float | None = None
    rounds: int


def rows_of_steps(workload: Workload, optimizer: str, rounds: int) -> Iterator[Row]:
    """Measure on the CPU, one row per mode and interval.

    A controller takes two kinds of steps, quiet ones and those that decide; each round takes both
    kinds with every contender in turn. K steps between decisions cost (K − 1) quiet steps and one
    that decides. The contenders trade networks in the middle, so that where a network lies in
    memory does not count.

    Args:
        workload: what is trained.
        optimizer: key of `l2o.benchmarks.speed.training.OPTIMIZERS`.
        rounds: of two steps per contender.
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
        for mode, pairs in _take_turns(trainings, (rounds + phase) // len(contenders)).items():
            taken[mode] += pairs
        number = sum(map(len, taken.values()))
        print(f"{workload.name}, {optimizer}: {number} pairs of steps", flush=True)
    for setting in _settings(workload, optimizer):
        yield overhead(setting, taken[None], taken[setting.mode])


def _settings(workload: Workload, optimizer: str) -> list[Setting]:
    return [
        Setting(model=workload.name, optimizer=optimizer, mode=mode, interval=interval)
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


def overhead(setting: Setting, bare: Pairs, controlled: Pairs) -> Row:
    """Return what a controller adds to a step at K = `interval` steps per decision.

    Without a controller both steps of a pair are alike.

    Example:
        >>> bare = [[Seconds(1.0, 0.1), Seconds(1.0, 0.1)]] * 3
        >>> mine = [[Seconds(1.0, 0.1), Seconds(1.1, 0.2)]] * 3
        >>> setting = Setting(model="ViT", optimizer="SGD", mode="groups", interval=10)
        >>> round(overhead(setting, bare, mine).percent, 6)
        1.0
    """
    whole_bare, whole, part_bare, part = (
        np.array([[getattr(step, key) for step in pair] for pair in series])
        for key in ("whole", "part")
        for series in (bare, controlled)
    )
    weights = np.array([setting.interval - 1, 1]) / setting.interval

    def by_part(rows: Array) -> Array:
        added = np.median(part[rows] - part_bare[rows], axis=-2) @ weights
        step = np.median(whole_bare[rows].reshape(*added.shape, -1), axis=-1)
        return np.asarray(100.0 * added / step)

    def by_whole(rows: Array) -> Array:
        longer = np.median(whole[rows] / whole_bare[rows], axis=-2) @ weights
        return np.asarray(100.0 * (longer - 1.0))

    quiet, deciding = 1e3 * np.median(part - part_bare, axis=0)
    return Row(
        **vars(setting),
        **_spans(len(bare), percent=by_part, whole_percent=by_whole),
        step_ms=float(np.median(whole_bare)) * 1e3,
        quiet_ms=float(quiet),
        deciding_ms=float(deciding),
        rounds=len(bare),
    )


def _spans(rounds: int, **statistics: Statistic) -> Options:
    """Return each percentage of the numbers of rounds, its interval, and it as a ratio."""
    numbers = np.arange(rounds, dtype=np.float64)[:, None]
    found: Options = {}
    for name, statistic in statistics.items():

        def of_numbers(strata: Strata, statistic: Statistic = statistic) -> Array:
            return statistic(strata[0][..., 0].astype(int))

        each = estimate(numbers, of_numbers)
        found |= {name: each.value, f"{name}_interval": [each.low, each.high]}
        found[name.replace("percent", "ratio")] = 1 + each.value / 100
    return found


def rows_of_windows(
    workload: Workload, optimizer: str, device: torch.device, rounds: int
) -> Iterator[Row]:
    """Measure on an accelerator, where only whole windows of steps tell the time.

    A window is K steps, 10 at least, with a synchronisation before and after; windows with and
    without a controller alternate.
    """
    for setting in _settings(workload, optimizer):
        steps = max(setting.interval, 10)
        bare = Training(workload, optimizer, device)
        controlled = Training(workload, optimizer, device, setting.mode, setting.interval)
        windows = {"bare": bare, "controlled": controlled}
        runs = {name: partial(each.steps, steps) for name, each in windows.items()}
        times = time_alternately(runs, rounds, device)
        without, longer = (np.array(times[name].seconds) for name in windows)
        ratios = longer / without

        def percent(numbers: Array, ratios: Array = ratios) -> Array:
            return np.asarray(100.0 * (np.median(ratios[numbers], axis=-1) - 1.0))

        yield Row(
            **vars(setting),
            **_spans(rounds, percent=percent, whole_percent=percent),
            step_ms=float(np.median(without)) / steps * 1e3,
            rounds=rounds,
        )
