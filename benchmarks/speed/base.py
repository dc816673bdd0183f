"""The contract of speed measurements: rows, and figures with bounds."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Generic, TypeVar

import torch
import typer

from l2o.benchmarks.cells.machine import machine_facts
from l2o.benchmarks.report.tables import UNKNOWN, Table
from l2o.benchmarks.studies.base import Columns, Study
from l2o.benchmarks.studies.options import Json
from l2o.envs.runtime.device import resolve_device

Row = TypeVar("Row")
Numbers = Annotated[str, typer.Option(metavar="N,N,...", help="Sizes, as 1,8,32.")]


@dataclass(frozen=True)
class Figure:
    """A value, what it must be, what it should be, and whether it is."""

    figure: str
    value: float
    must: str
    goal: str
    holds: bool
    reaches_goal: bool


def hold(figure: str, value: float, must: float, goal: float, at_least: bool = True) -> Figure:
    """Hold a value to two bounds: `must` decides whether it holds, `goal` is aimed at.

    Example:
        >>> hold("ratio", 3.0, must=2.5, goal=4.0).holds
        True
    """
    sign, way = (">=", 1) if at_least else ("<=", -1)
    holds, reaches = (way * value >= way * bound for bound in (must, goal))
    return Figure(figure, round(value, 3), f"{sign} {must:g}", f"{sign} {goal:g}", holds, reaches)


FIGURES: Columns = {
    "figure": lambda each: each.figure,
    "measured": lambda each: f"{each.value:g}",
    "must": lambda each: each.must,
    "goal": lambda each: each.goal,
    "holds": lambda each: "yes" if each.holds else "no",
}
"""The table of figures."""


@dataclass(frozen=True)
class Measured(Generic[Row]):
    """What was measured: a row per contender, and the figures that they are held to."""

    rows: Sequence[Row]
    figures: Sequence[Figure] = ()


@dataclass(frozen=True, kw_only=True)
class Measurement(Study[Measured[Row]], Generic[Row]):
    """Something measured side by side in one run, on one device.

    Attributes:
        measured: the type of its answer, for reading it back.
    """

    measured: ClassVar[Any]
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

    def figures(self, rows: Sequence[Row]) -> Sequence[Figure]:
        """Return what the rows are held to."""
        return ()

    def answer(self) -> Measured[Row]:
        """Measure, and hold the rows to the figures."""
        rows = list(self.rows())
        return Measured(rows, self.figures(rows))

    def tables(self, answer: Measured[Row]) -> list[Table]:
        """Return the rows and the figures."""
        shown = Table.of(self.title, answer.rows, self.columns)
        return [shown, Table.of("Figures", answer.figures, FIGURES)][: 1 + bool(answer.figures)]

    def to_json(self, answer: Measured[Row]) -> Mapping[str, object]:
        """Return options, device, machine, rows and figures."""
        told = {"benchmark": type(self).__name__.lower(), "machine": machine_facts(1)}
        return {**super().to_json(answer), **told, "device": self.device_name}


def mebibytes(number: int | None) -> str:
    """Return a number of bytes in MiB."""
    return UNKNOWN if number is None else f"{number / 2**20:,.0f} MiB"


def numbers_of(text: str) -> tuple[int, ...]:
    """Return the numbers of a list.

    Raises:
        ValueError: something else than whole numbers above 0, with commas between.

    Example:
        >>> numbers_of("1,8,32")
        (1, 8, 32)
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) for part in parts):
        raise ValueError(f"{text!r} are no sizes: write numbers above 0 with commas, as 1,8,32")
    return tuple(map(int, parts))
