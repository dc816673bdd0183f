"""The contract of figures, and the looks that they share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from l2o.benchmarks.comparisons.zero_shot.tables import ordered
from l2o.benchmarks.report.figures.style import INK, LOOKS, Look

NAMED = 3
"""How many untuned rivals a figure names."""


@dataclass(frozen=True)
class Drawing:
    """One figure of the report.

    Attributes:
        draw: makes it from the content of `results.json`; None where that does not hold what it
            shows.
        title: its heading.
        caption: what is shown, and how it was computed.
    """

    draw: Callable[[dict[str, Any]], Figure | None]
    title: str
    caption: str


def looks(data: dict[str, Any]) -> dict[str, Look]:
    """Return how the named rows are drawn: label -> look.

    The policies, the grid tuned per task, and the untuned rivals with the highest mean over base
    LRs.
    """
    rows = [row for row in ordered(data["rows"]) if row["kind"] != "other_tasks"]
    untuned = [row for row in rows if row["kind"] in ("schedule", "rival")]
    named = [row for row in rows if row not in untuned] + untuned[:NAMED]
    others = iter(LOOKS)
    return {
        row["label"]: Look(INK, "o", "-", linewidth=2.6, markersize=6.0)
        if row["kind"] == "policy"
        else Look(*next(others))
        for row in named
    }
