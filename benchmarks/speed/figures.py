"""Figures: measured values held against what they must and what they should be; their table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from l2o.benchmarks.report.markdown import to_markdown
from l2o.benchmarks.report.tables import Table


@dataclass(frozen=True)
class Verdict:
    """A figure as results have it: what it must be, what it should be, and whether it is."""

    figure: str
    value: float
    must: str
    goal: str
    holds: bool
    reaches_goal: bool


@dataclass(frozen=True)
class Figure:
    """One row of the table that a measurement is held against.

    Attributes:
        figure: what is measured.
        value: the measurement.
        must: the bound that decides whether it holds.
        goal: the bound aimed at.
        at_least: whether larger is better.

    Example:
        >>> Figure("ratio", 3.0, must=2.5, goal=4.0).verdict.holds
        True
    """

    figure: str
    value: float
    must: float
    goal: float
    at_least: bool = True

    @property
    def verdict(self) -> Verdict:
        """What the value says."""
        sign = ">=" if self.at_least else "<="
        way = 1 if self.at_least else -1
        holds, reaches = (way * self.value >= way * bound for bound in (self.must, self.goal))
        bounds = f"{sign} {self.must:g}", f"{sign} {self.goal:g}"
        return Verdict(self.figure, round(self.value, 3), *bounds, holds, reaches)

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data, with its verdicts."""
        return dict(vars(self.verdict))


def verdict_table(verdicts: Sequence[Verdict]) -> Table:
    """Return the figures and whether they hold."""
    columns = ("figure", "measured", "must", "goal", "holds")
    rows = [
        (v.figure, f"{v.value:g}", v.must, v.goal, "yes" if v.holds else "no") for v in verdicts
    ]
    return Table("Figures", columns, rows)


def figures_table(results: Mapping[str, Any]) -> str:
    """Return the figures of results, plain data, as a Markdown table."""
    return to_markdown(verdict_table([Verdict(**row) for row in results["figures"]]))
