"""The contract of speed measurements: contenders in turn, rows, and figures with bounds."""

from __future__ import annotations

import statistics
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Generic, TypeVar

import torch

from l2o.benchmarks.cells.machine import machine_facts
from l2o.benchmarks.report.tables import UNKNOWN, Table
from l2o.benchmarks.speed.figures import Figure, Verdict, verdict_table
from l2o.benchmarks.studies.base import Study, options_of
from l2o.benchmarks.studies.options import Json
from l2o.envs.runtime.device import resolve_device

Row = TypeVar("Row")


@dataclass(frozen=True)
class Measured(Generic[Row]):
    """What was measured: a row per contender, and the figures that they are held to."""

    rows: Sequence[Row]
    figures: Sequence[Verdict] = ()


@dataclass(frozen=True, kw_only=True)
class Measurement(Study[Measured[Row]], Generic[Row]):
    """Something measured side by side in one run, on one device."""

    facts: ClassVar[Mapping[str, object]] = {}
    """What results tell beyond options, device, machine and rows."""
    json: Json = None

    @property
    def where(self) -> torch.device:
        """The device: that of the option."""
        return resolve_device(getattr(self, "device", "cpu"))

    @property
    def device_name(self) -> str:
        """What the device is called."""
        where = self.where
        return torch.cuda.get_device_name(where) if where.type == "cuda" else where.type

    @abstractmethod
    def rows(self) -> Iterator[Row]:
        """Measure, and yield a row per contender."""

    @abstractmethod
    def table(self, rows: Sequence[Row]) -> Table:
        """Return the rows."""

    def figures(self, rows: Sequence[Row]) -> Sequence[Figure]:
        """Return what the rows are held to."""
        return ()

    def answer(self) -> Measured[Row]:
        """Measure, and hold the rows to the figures."""
        rows = list(self.rows())
        return Measured(rows, [figure.verdict for figure in self.figures(rows)])

    def tables(self, answer: Measured[Row]) -> list[Table]:
        """Return the rows and the figures."""
        shown = [self.table(answer.rows)]
        return [*shown, verdict_table(answer.figures)] if answer.figures else shown

    def to_json(self, answer: Measured[Row]) -> Mapping[str, object]:
        """Return options, device, machine, rows and figures."""
        told: dict[str, object] = {
            "benchmark": type(self).__name__.lower(),
            "machine": machine_facts(1),
        }
        told |= {"device": self.device_name, **self.facts}
        return options_of(self) | told | vars(answer)


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


def time_alternately(
    contenders: Mapping[str, Callable[[], object]], rounds: int, device: torch.device
) -> dict[str, Times]:
    """Run all contenders in turn, once to warm up and then `rounds` times.

    So a slow moment of the machine hits them all.

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


def mebibytes(number: int | None) -> str:
    """Return a number of bytes in MiB."""
    return UNKNOWN if number is None else f"{number / 2**20:,.0f} MiB"
