"""The tables of results as Markdown, and the picture of steps per second, for documentation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter
from pydantic import TypeAdapter

from l2o.benchmarks.report.figures.style import new_figure
from l2o.benchmarks.report.markdown import to_markdown
from l2o.benchmarks.report.tables import Table
from l2o.benchmarks.speed import controller, stacked
from l2o.benchmarks.studies.base import Study
from l2o.files.seals import read_json
from l2o.registry import lookup

Results = controller.Answer | stacked.Answer
KINDS: dict[str, tuple[type[Results], Callable[[Any], list[Table]]]] = {
    "stacked": (stacked.Answer, stacked.tables),
    "controller": (controller.Answer, controller.tables),
}
"""What was measured -> its results, and their tables."""


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
        found = [read_json(path, "measure again") for path in self.results]
        kinds = [lookup("benchmark", KINDS, str(each.get("benchmark"))) for each in found]
        return [TypeAdapter(kind).validate_python(each) for (kind, _), each in zip(kinds, found)]

    def show(self, answer: Sequence[Results]) -> None:
        """Print Markdown."""
        for each in answer:
            if isinstance(each, stacked.Answer):
                print(f"{each.device}, {each.precision}:\n")
            print("\n".join(map(to_markdown, KINDS[each.benchmark][1](each))))

    def pictures(self, answer: Sequence[Results]) -> dict[Path, Figure]:
        """Return the picture, if it is asked for."""
        runs = [each for each in answer if isinstance(each, stacked.Answer)]
        return {self.picture: draw(runs)} if self.picture else {}


def draw(results: Sequence[stacked.Answer]) -> Figure:
    """Draw fine-tune steps per second over N, one line per run and width."""
    figure = new_figure(6, 3.6)
    axes = figure.subplots()
    counts: set[int] = set()
    for result in results:
        for width in sorted({row.width for row in result.rows}):
            rows = [row for row in result.rows if row.width == width]
            runs = [row for row in rows if row.name.startswith("stacked")]
            counts |= {row.runs for row in runs}
            (line,) = axes.plot(
                [row.runs for row in runs],
                [row.steps_per_second for row in runs],
                "o-",
                label=f"stacked, width {width}, {result.device}, {result.precision}",
            )
            bare = next(row for row in rows if row.name == "bare loop")
            axes.axhline(
                bare.steps_per_second,
                color=line.get_color(),
                linestyle=":",
                label=f"bare loop, width {width}, {result.device}",
            )
    axes.set(xscale="log", yscale="log", xlabel="fine-tunes at once", ylabel="steps per second")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(ScalarFormatter())
        axis.set_minor_formatter(ScalarFormatter())
    axes.xaxis.set_ticks(sorted(counts), minor=False)
    axes.xaxis.set_ticks([], minor=True)
    axes.legend(fontsize="small")
    return figure
