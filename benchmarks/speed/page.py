"""The tables of results as Markdown, and the picture of steps per second, for documentation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter
from pydantic import TypeAdapter

from l2o.benchmarks.report.figures.style import new_figure
from l2o.benchmarks.report.markdown import to_markdown
from l2o.benchmarks.speed import cells, guidance, stacked
from l2o.benchmarks.speed.base import Measured, Measurement
from l2o.benchmarks.speed.cells import Cells
from l2o.benchmarks.speed.controller import Controller, Costs
from l2o.benchmarks.speed.decision import Decided, Decision
from l2o.benchmarks.speed.guidance import Guidance
from l2o.benchmarks.speed.stacked import Stacked
from l2o.benchmarks.studies.base import Study
from l2o.files.seals import read_json
from l2o.registry import lookup

MEASUREMENTS: dict[str, tuple[Measurement[Any], type[Measured[Any]]]] = {
    "stacked": (Stacked(), Measured[stacked.Row]),
    "controller": (Controller(), Costs),
    "guidance": (Guidance(), Measured[guidance.Row]),
    "cells": (Cells(), Measured[cells.Row]),
    "decision": (Decision(), Measured[Decided]),
}
"""What was measured -> who makes its tables, and what was found."""


@dataclass(frozen=True)
class Results:
    """Results that were written.

    Attributes:
        what: a key of `MEASUREMENTS`.
        name: the device, and the number format where there are several.
        found: what was measured.
    """

    what: str
    name: str
    found: Measured[Any]


@dataclass(frozen=True, kw_only=True)
class Page(Study[Sequence[Results]]):
    """Print the tables of results as Markdown, and draw steps per second over N."""

    examples = (
        "l2o speed page controller.json",
        "l2o speed page stacked.json --picture docs/figures/stacked.png",
    )
    results: Annotated[
        tuple[Path, ...], typer.Argument(metavar="FILE", help="JSON files of one command.")
    ]
    picture: Annotated[Path | None, typer.Option(metavar="FILE", help="PNG to draw into.")] = None

    def answer(self) -> list[Results]:
        """Read the results.

        Raises:
            ValueError: results of something else.
            DamagedFileError: they are not what was written.
        """
        return [_read(path) for path in self.results]

    def show(self, answer: Sequence[Results]) -> None:
        """Print Markdown."""
        for each in answer:
            print(f"{each.name}:\n")
            tables = MEASUREMENTS[each.what][0].tables(each.found)
            print("\n".join(map(to_markdown, tables)))

    def pictures(self, answer: Sequence[Results]) -> dict[Path, Figure]:
        """Return the picture, if it is asked for."""
        return {self.picture: draw(answer)} if self.picture else {}


def _read(path: Path) -> Results:
    data = read_json(path, "measure again")
    what = str(data.get("benchmark"))
    kind = lookup("measurement", MEASUREMENTS, what)[1]
    parts = [str(data[key]) for key in ("device", "precision") if key in data]
    return Results(what, ", ".join(parts), TypeAdapter(kind).validate_python(data))


def draw(results: Sequence[Results]) -> Figure:
    """Draw fine-tune steps per second over N, one line per run of `stacked` and width."""
    figure = new_figure(6, 3.6)
    axes = figure.subplots()
    counts: set[int] = set()
    for result in results:
        for width in sorted({row.width for row in result.found.rows}):
            rows = [row for row in result.found.rows if row.width == width]
            runs = [row for row in rows if row.name.startswith("stacked")]
            counts |= {row.runs for row in runs}
            n, speed = [row.runs for row in runs], [row.steps_per_second for row in runs]
            (line,) = axes.plot(n, speed, "o-", label=f"stacked, width {width}, {result.name}")
            bare = next(row for row in rows if row.name == "bare loop")
            label = f"bare loop, width {width}, {result.name}"
            look: dict[str, Any] = {"color": line.get_color(), "linestyle": ":"}
            axes.axhline(bare.steps_per_second, label=label, **look)
    axes.set(xscale="log", yscale="log", xlabel="fine-tunes at once", ylabel="steps per second")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(ScalarFormatter())
        axis.set_minor_formatter(ScalarFormatter())
    axes.xaxis.set_ticks(sorted(counts), minor=False)
    axes.xaxis.set_ticks([], minor=True)
    axes.legend(fontsize="small")
    return figure
