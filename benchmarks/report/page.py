"""A report's page: text, tables and pictures in one self-contained HTML file."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from l2o.benchmarks.cells.record import Failure
from l2o.benchmarks.report.markdown import to_markdown
from l2o.benchmarks.report.tables import Tables
from l2o.benchmarks.report.text import Text, render
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
        text: what it says in sentences.
        tables: at its top, and after the figures.
        pictures: the figures.
        failures: what is missing.
        missing: what the failures are, in the plural.
    """

    title: str
    text: Text
    tables: Tables
    pictures: Sequence[Picture]
    failures: Sequence[Failure] = ()
    missing: str = "fine-tunes"

    def to_html(self) -> str:
        """Return the page: no script, nothing loaded from elsewhere, everything escaped."""
        return render("report.html", page=self)

    def to_markdown(self) -> str:
        """Return the main tables and the definitions as Markdown."""
        parts = [f"# {self.title}", self.text.summary]
        for table in self.tables.main:
            parts += [f"## {table.title}", to_markdown(table).rstrip()]
        words = "\n".join(f"- **{word}**: {said}" for word, said in self.text.words.items())
        return "\n\n".join([*parts, "## Definitions", words]) + "\n"

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
