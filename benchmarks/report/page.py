"""A report's page: text, tables and pictures in one self-contained HTML file."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from l2o.benchmarks.report.markdown import to_markdown
from l2o.benchmarks.report.tables import Table
from l2o.benchmarks.report.terminal import Missing
from l2o.files.atomic import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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


@dataclass(frozen=True)
class Page:
    """What a report shows.

    Attributes:
        title: its heading.
        summary: one paragraph that says what was run.
        failures: what is missing.
        main: tables at the top.
        details: tables after the figures.
        pictures: the figures.
        definitions: what the words mean: word, meaning.
        footer: where the numbers come from.
        missing: what the failures are, in the plural.
    """

    title: str
    summary: str
    failures: Sequence[Missing]
    main: Sequence[Table]
    details: Sequence[Table]
    pictures: Sequence[Picture]
    definitions: Sequence[tuple[str, str]]
    footer: str
    missing: str = "fine-tunes"

    def to_html(self) -> str:
        """Return the page: no script, nothing loaded from elsewhere, everything escaped."""
        from jinja2 import Environment, StrictUndefined

        source = resources.files("l2o.benchmarks.report") / "templates" / "report.html"
        environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
        template = environment.from_string(source.read_text(encoding="utf-8"))
        text: str = template.render(page=self)
        return text

    def to_markdown(self) -> str:
        """Return the main tables and the definitions as Markdown."""
        parts = [f"# {self.title}", self.summary]
        for table in self.main:
            parts += [f"## {table.title}", to_markdown(table).rstrip()]
        listed = "\n".join(f"- **{word}**: {meaning}" for word, meaning in self.definitions)
        return "\n\n".join([*parts, "## Definitions", listed]) + "\n"

    def write(self, directory: Path) -> Path:
        """Write `report.html`, `report.md` and `figures/*.png`; return the first's path."""
        (directory / "figures").mkdir(exist_ok=True)
        for picture in self.pictures:
            write_atomically(directory / "figures" / f"{picture.name}.png", picture.png)
        write_atomically(directory / "report.md", self.to_markdown())
        write_atomically(directory / REPORT, self.to_html())
        return directory / REPORT


def to_picture(name: str, title: str, caption: str, figure: Figure) -> Picture:
    """Return a figure as a picture."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return Picture(name, title, caption, buffer.getvalue())


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
