"""The report: a self-contained `report.html`, `report.md` and PNG figures."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from l2o.benchmarks.definitions import define
from l2o.benchmarks.factors import show_factor
from l2o.benchmarks.markdown import to_markdown
from l2o.benchmarks.published_tables import published_tables
from l2o.benchmarks.results import Results, load_results
from l2o.benchmarks.tables import (
    Table,
    chosen_table,
    claims_table,
    factors_table,
    headline_table,
    policy_tables,
    results_table,
    tuned_table,
)
from l2o.files import write_atomically

REPORT = "report.html"
DPI = 160
"""Dots per inch of the PNGs: sharp on dense screens and in print."""


@dataclass(frozen=True)
class Picture:
    """A drawn figure: file stem, heading, caption and PNG bytes."""

    name: str
    title: str
    caption: str
    png: bytes

    @property
    def base64(self) -> str:
        """The PNG as text for a data URI."""
        return base64.b64encode(self.png).decode()

    @property
    def width(self) -> int:
        """Width on the page in CSS pixels: the figure's inches at 96 per inch."""
        pixels = int.from_bytes(self.png[16:20], "big")
        return round(pixels * 96 / DPI)


def write_report(directory: Path) -> Path:
    """Write `report.html`, `report.md` and `figures/*.png` into a benchmark's folder.

    Only what lies in the folder is read, so a report can be made anywhere and at any time.

    Returns:
        The path of `report.html`.

    Raises:
        FileNotFoundError: no results there.
        ValueError: results of another layout.
    """
    results = load_results(directory)
    pictures = draw_all(results)
    (directory / "figures").mkdir(exist_ok=True)
    for picture in pictures:
        write_atomically(directory / "figures" / f"{picture.name}.png", picture.png)
    write_atomically(directory / "report.md", render_markdown(results))
    write_atomically(directory / REPORT, render_html(results, pictures))
    return directory / REPORT


def draw_all(results: Results) -> list[Picture]:
    """Draw every figure that the results hold the numbers for."""
    from l2o.benchmarks.figures import FIGURES

    pictures = []
    for name, drawing in FIGURES.items():
        figure = drawing.draw(results)
        if figure is not None:
            buffer = io.BytesIO()
            figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
            picture = Picture(name, drawing.title, drawing.caption, buffer.getvalue())
            pictures.append(picture)
    return pictures


def render_html(results: Results, pictures: list[Picture]) -> str:
    """Return the page: no script, nothing loaded from elsewhere, everything escaped."""
    from jinja2 import Environment, StrictUndefined

    source = resources.files("l2o.benchmarks") / "templates" / "report.html"
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    template = environment.from_string(source.read_text(encoding="utf-8"))
    page: str = template.render(
        data=results.data,
        summary=describe(results.data),
        definitions=define(results.data),
        main=_present(
            headline_table(results),
            claims_table(results),
            results_table(results),
            tuned_table(results),
            *published_tables(results),
        ),
        details=_present(*policy_tables(results), factors_table(results), chosen_table(results)),
        pictures=pictures,
    )
    return page


def render_markdown(results: Results) -> str:
    """Return the main tables as Markdown."""
    parts = [f"# {results.data['title']}", describe(results.data)]
    for table in _present(
        headline_table(results),
        claims_table(results),
        results_table(results),
        tuned_table(results),
        *published_tables(results),
    ):
        parts += [f"## {table.title}", to_markdown(table).rstrip()]
    listed = "\n".join(f"- **{word}**: {meaning}" for word, meaning in define(results.data))
    return "\n\n".join([*parts, "## Definitions", listed]) + "\n"


def describe(data: dict[str, Any]) -> str:
    """Return one paragraph that says what was run."""
    counts, machine = data["counts"], data["machine"]
    factors = ", ".join(show_factor(factor) for factor in counts["base_lr_factors"])
    unused = counts["planned"] - counts["fine_tunes"]
    lacking = f" ({unused} more failed or were not run)" if unused else ""
    processes = machine["processes"]
    where = "one process" if processes == 1 else f"{processes} processes"
    return (
        f"{counts['rows']} rows × {counts['tasks']} held-out tasks × {counts['seeds']} seeds, at "
        f"base learning rates × {factors}: {counts['fine_tunes']} fine-tunes{lacking}, "
        f"{duration(data['seconds'])} of computing in {where} of one thread "
        f"each. {counts['diverged']} diverged; {counts['at_chance']} ended at chance. "
        f"l2o {machine['l2o']}, torch {machine['torch']}, Python {machine['python']}."
    )


def duration(seconds: float) -> str:
    """Return seconds as people say them.

    Example:
        >>> duration(42), duration(600), duration(9000)
        ('42 s', '10 min', '2.5 h')
    """
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def _present(*tables: Table | None) -> list[Table]:
    return [table for table in tables if table is not None]
