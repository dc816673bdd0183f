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
from l2o.benchmarks.speed.base import Measured
from l2o.benchmarks.speed.cells import Cells
from l2o.benchmarks.speed.controller import Controller
from l2o.benchmarks.speed.decision import Decision
from l2o.benchmarks.speed.footprint import Footprint
from l2o.benchmarks.speed.guidance import Guidance
from l2o.benchmarks.speed.images import Images
from l2o.benchmarks.speed.stacked import Stacked
from l2o.benchmarks.studies.base import Study
from l2o.files.seals import read_json
from l2o.registry import lookup

MEASUREMENTS = {
    kind.__name__.lower(): kind
    for kind in (Stacked, Controller, Guidance, Cells, Decision, Footprint, Images)
}
"""What was measured -> who makes its tables."""

Results = tuple[str, str, Measured[Any]]
"""What was measured; the device, and the number format where there are several; what was found."""


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
        for what, name, found in answer:
            print(f"{name}:\n")
            print("\n".join(map(to_markdown, MEASUREMENTS[what]().tables(found))))

    def pictures(self, answer: Sequence[Results]) -> dict[Path, Figure]:
        """Return the picture, if it is asked for."""
        return {self.picture: draw(answer)} if self.picture else {}


def _read(path: Path) -> Results:
    data = read_json(path, "measure again")
    what = str(data.get("benchmark"))
    kind = lookup("measurement", MEASUREMENTS, what)
    parts = [str(data[key]) for key in ("device", "precision") if key in data]
    found: Any = TypeAdapter(kind.measured).validate_python(data)
    return what, ", ".join(parts), found


def draw(results: Sequence[Results]) -> Figure:
    """Draw fine-tune steps per second over N, one line per run of `stacked` and width."""
    figure = new_figure(6, 3.6)
    axes = figure.subplots()
    counts: set[int] = set()
    for _, name, found in results:
        for width in sorted({row.width for row in found.rows}):
            rows = [row for row in found.rows if row.width == width]
            runs = [row for row in rows if row.name.startswith("stacked")]
            n, speed = [row.runs for row in runs], [row.steps_per_second for row in runs]
            counts |= {*n}
            (line,) = axes.plot(n, speed, "o-", label=f"stacked, width {width}, {name}")
            bare = next(row for row in rows if row.name == "bare loop").steps_per_second
            label = f"bare loop, width {width}, {name}"
            axes.axhline(bare, label=label, color=line.get_color(), linestyle=":")
    axes.set(xscale="log", yscale="log", xlabel="fine-tunes at once", ylabel="steps per second")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(ScalarFormatter())
        axis.set_minor_formatter(ScalarFormatter())
    axes.xaxis.set_ticks(sorted(counts), minor=False)
    axes.xaxis.set_ticks([], minor=True)
    axes.legend(fontsize="small")
    return figure
