"""Timing contenders alternately, so that a slow moment of the machine hits them all."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch

from l2o.benchmarks.cells.machine import machine_facts


@dataclass(frozen=True)
class Times:
    """Seconds of each round of one contender."""

    seconds: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """The median round."""
        return statistics.median(self.seconds)

    @property
    def best(self) -> float:
        """The fastest round."""
        return min(self.seconds)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What all results tell: what was measured, where, on which machine."""

    benchmark: str
    device: str
    machine: Mapping[str, object] = field(default_factory=lambda: machine_facts(1))


def device_name(device: torch.device) -> str:
    """Return what a device is called in results."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def time_alternately(
    contenders: Mapping[str, Callable[[], object]], rounds: int, device: torch.device
) -> dict[str, Times]:
    """Run all contenders in turn, once to warm up and then `rounds` times.

    Example:
        >>> times = time_alternately({"sleep": lambda: None}, 3, torch.device("cpu"))
        >>> len(times["sleep"].seconds)
        3
    """
    times = {name: Times() for name in contenders}
    for number in range(rounds + 1):
        for name, run in contenders.items():
            _wait(device)
            started = time.perf_counter()
            run()
            _wait(device)
            if number:
                times[name].seconds.append(time.perf_counter() - started)
    return times


def ratio(slow: Times, fast: Times, scale: float = 1.0) -> float:
    """Return the median over rounds of `scale` · slow / fast, each of one round's two times."""
    return statistics.median(scale * a / b for a, b in zip(slow.seconds, fast.seconds, strict=True))


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
