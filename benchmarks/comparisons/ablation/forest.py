"""The forest plot: every variant's difference to its reference, with its interval."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

from l2o.benchmarks.comparisons.ablation.tables import is_clear
from l2o.benchmarks.report.figures.style import GREY, INK, new_figure, tidy


def draw_forest(data: dict[str, Any]) -> Figure | None:
    """Draw one line per difference, groups under their names; None without any.

    Filled dots: the interval does not hold zero.
    """
    rows = [row for row in data["rows"] if row["difference"] is not None]
    if not rows:
        return None
    places, names, headings = _places(data["base"], rows)
    figure = new_figure(8.6, 1.2 + 0.27 * (max(places) + 1))
    axes = figure.subplots()
    for place, row in zip(places, rows, strict=True):
        found = row["difference"]
        if found["low"] is not None:
            ends = [100 * found["low"], 100 * found["high"]]
            axes.plot(ends, [place, place], color=INK, linewidth=1.6)
        face = INK if is_clear(found) else "white"
        axes.plot(100 * found["value"], place, "o", color=INK, markerfacecolor=face, markersize=5.5)
    axes.axvline(0, color="#777777", linewidth=1)
    for place in headings:
        axes.axhline(place, color=GREY, linewidth=0.6)
    ticks = [*headings.items(), *zip(places, names, strict=True)]
    axes.set_yticks([place for place, _ in ticks], [name for _, name in ticks], fontsize=8.5)
    for label in axes.get_yticklabels()[: len(headings)]:
        label.set_fontweight("bold")
    axes.set_ylim(max(places) + 0.7, -0.7)
    axes.set_xlabel("difference in final accuracy on real images, percentage points")
    tidy(axes)
    return figure


def _places(base: str, rows: list[dict[str, Any]]) -> tuple[list[int], list[str], dict[int, str]]:
    """Return the rows' heights and names, and the groups' headings by height."""
    places, names, headings = [], [], {}
    height, group = 0, ""
    for row in rows:
        if row["group"] != group:
            group = row["group"]
            headings[height] = group
            height += 1
        places.append(height)
        other = "" if row["against"] == base else f" (against: {row['against']})"
        names.append(row["label"] + other)
        height += 1
    return places, names, headings
