"""What a report says in sentences: a packaged Markdown template, filled in with results."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

from l2o.benchmarks.report.factors import duration, show_factor

if TYPE_CHECKING:
    from jinja2 import Environment

_SECTION = re.compile(r"^# (\w+)\n(.*?)(?=^# |\Z)", re.MULTILINE | re.DOTALL)
_ENTRY = re.compile(r"^(\S.*)\n: (.*(?:\n  .*)*)", re.MULTILINE)


@dataclass(frozen=True)
class Text:
    """The prose of a report.

    Attributes:
        summary: one paragraph that says what was run.
        footer: where the numbers come from.
        units: what numbers are in.
        words: word -> what it means, in the order of the page.
        notes: beginning of a table's title, up to a colon -> what its numbers mean.
        figures: file stem -> heading and caption.
    """

    summary: str
    footer: str
    units: str
    words: dict[str, str]
    notes: dict[str, str] = field(default_factory=dict)
    figures: dict[str, tuple[str, str]] = field(default_factory=dict)

    @classmethod
    def of(cls, name: str, **values: object) -> Text:
        """Fill in the template of a comparison.

        Its sections are `# Summary`, `# Footer`, `# Units`, and the lists `# Words`, `# Notes` and
        `# Figures`: a term and, after a colon on the next line, what is said of it.
        """
        sections = dict(_SECTION.findall(render(f"{name}.md", **values)))
        words, notes, figures = (
            {term: _one_line(said) for term, said in _ENTRY.findall(sections[title])}
            for title in ("Words", "Notes", "Figures")
        )
        drawn = {}
        for term, caption in figures.items():
            stem, title = term.split(" | ")
            drawn[stem] = title, caption
        summary, footer, units = (_one_line(sections[s]) for s in ("Summary", "Footer", "Units"))
        return cls(summary, footer, units, words, notes, drawn)


def render(template: str, **values: object) -> str:
    """Return a packaged template, filled in; in HTML every value is escaped."""
    return _environment().get_template(template).render(**values)


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

    environment = Environment(
        loader=PackageLoader("l2o.benchmarks.report"),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    environment.filters |= {"show_factor": show_factor, "duration": duration}
    return environment


def _one_line(text: str) -> str:
    return " ".join(text.split())
