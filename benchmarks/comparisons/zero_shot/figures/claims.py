"""The claims that are differences, with their intervals and what they must show."""

from __future__ import annotations

import re
from typing import Any

from matplotlib.figure import Figure

from l2o.benchmarks.report.figures.style import INK, legend_below, new_figure, tidy

_MUST, _GOAL = "#D55E00", "#0072B2"


def draw_claims(data: dict[str, Any]) -> Figure | None:
    """Draw one line per difference, the first claim on top; None without any."""
    entries = [entry for entry in data["figures"] if entry["unit"] == "points"]
    entries = [entry for entry in entries if entry["value"] is not None]
    if not entries:
        return None
    figure = new_figure(8.6, 1.4 + 0.34 * len(entries))
    axes = figure.subplots()
    for place, entry in enumerate(entries):
        if entry["low"] is not None:
            axes.plot([entry["low"], entry["high"]], [place, place], color=INK, linewidth=1.6)
        face = INK if entry["holds"] else "white"
        first = place == 0
        _mark(axes, _bound(entry["must"]), place, "|", _MUST, "must" if first else None, size=14)
        _mark(axes, _bound(entry["goal"]), place, "<", _GOAL, "goal" if first else None)
        axes.plot(entry["value"], place, "o", color=INK, markerfacecolor=face, markersize=6)
    axes.plot([], [], "o", color=INK, label="measured: holds")
    axes.plot([], [], "o", color=INK, markerfacecolor="white", label="measured: does not hold")
    axes.axvline(0, color="#777777", linewidth=1)
    axes.set_yticks(range(len(entries)), [entry["figure"] for entry in entries], fontsize=8.5)
    axes.set_ylim(len(entries) - 0.4, -0.6)
    axes.set_xlabel("difference in target accuracy, percentage points")
    tidy(axes)
    legend_below(figure, axes, columns=4)
    return figure


def _bound(words: str) -> float:
    """Return the number of a bound such as `>= 2, interval above 0`."""
    return float(re.findall(r"-?[\d.]+", words)[0])


def _mark(
    axes: Any, x: float, y: int, marker: str, colour: str, label: str | None, size: float = 6
) -> None:
    style = {"markerfacecolor": "none", "markeredgewidth": 1.6, "linestyle": "none"}
    axes.plot(x, y, marker=marker, color=colour, markersize=size, label=label, **style)
