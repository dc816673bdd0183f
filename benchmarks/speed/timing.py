"""Contenders timed in turn."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import torch


@dataclass(frozen=True)
class Times:
    """Seconds of each round of one contender."""

    seconds: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """The median round."""
        return statistics.median(self.seconds)


@dataclass(frozen=True, kw_only=True)
class Pace:
    """The pace of a contender on a network of a width; `ratio` is over another contender's."""

    width: int
    name: str
    microseconds_per_step: float
    best_microseconds_per_step: float
    ratio: float
    seconds: Sequence[float] = ()

    @classmethod
    def of(cls, times: Times, steps: int, **further: Any) -> Self:
        """Return the row of a contender whose rounds are so many steps each."""
        median, best = (1e6 * each / steps for each in (times.median, min(times.seconds)))
        return cls(
            microseconds_per_step=median,
            best_microseconds_per_step=best,
            seconds=times.seconds,
            **further,
        )


def time_alternately(
    contenders: Mapping[str, Callable[[], object]],
    rounds: int,
    device: torch.device,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Times]:
    """Run all contenders in turn, once to warm up and then `rounds` times.

    So a slow moment of the machine hits them all. `clock` tells seconds: `time.thread_time` those
    that this thread works, for work that it does alone.

    Example:
        >>> times = time_alternately({"sleep": lambda: None}, 3, torch.device("cpu"))
        >>> len(times["sleep"].seconds)
        3
    """
    times = {name: Times() for name in contenders}
    for number in range(rounds + 1):
        for name, run in contenders.items():
            _wait(device)
            started = clock()
            run()
            _wait(device)
            if number:
                times[name].seconds.append(clock() - started)
    return times


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def ratio(slow: Times, fast: Times, scale: float = 1.0) -> float:
    """Return the median over rounds of `scale` · slow / fast, each of one round's two times."""
    return statistics.median(scale * a / b for a, b in zip(slow.seconds, fast.seconds, strict=True))
