"""The contract of figures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from matplotlib.figure import Figure

from l2o.benchmarks.comparisons.results_file import Results


@dataclass(frozen=True)
class Drawing:
    """One figure of the report.

    Attributes:
        draw: makes it from the results alone; None means that they do not hold what it shows.
        title: its heading.
        caption: what is shown, and how it was computed.
    """

    draw: Callable[[Results], Figure | None]
    title: str
    caption: str
