"""Interquartile means with intervals: untuned, over misjudged base LRs, and tuned."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

from l2o.benchmarks.comparisons.results_file import Results
from l2o.benchmarks.comparisons.table.comparison import SETTINGS
from l2o.benchmarks.comparisons.table.tuning import WHOLE_GRID
from l2o.benchmarks.report.figures.style import INK, in_percent, legend_below, new_figure, tidy

MAX_GRID_ROWS = 10
_BLUE, _ORANGE = "#0072B2", "#D55E00"


def draw_scores(results: Results) -> Figure | None:
    """Draw one line per row, best last; only the best grid rows when there are many."""
    several = len(results.data["counts"]["base_lr_factors"]) > 1
    key = "misjudged" if several else "default"
    rows = _chosen(results.rows, key)
    lines = [(row["label"], row["kind"], row) for row in rows]
    tuned = _best_tuned(results.data["tuned"])
    figure = new_figure(7.2, 1.7 + 0.3 * (len(lines) + len(tuned)))
    axes = figure.subplots()
    for place, (_, kind, row) in enumerate(lines):
        colour = INK if kind == "policy" else _BLUE
        if several:
            _mark(axes, place - 0.12, row["default"]["target_accuracy"], _ORANGE, "o", "white")
        _mark(axes, place + 0.12 * several, row[key]["target_accuracy"], colour, "s", colour)
    for index, entry in enumerate(tuned):
        place = len(lines) + index
        _mark(axes, place, entry["target_accuracy"], "#009E73", "D", "#009E73")
    names = [label for label, _, _ in lines] + [_tuned_name(entry) for entry in tuned]
    axes.set_yticks(range(len(names)), names, fontsize=9)
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.set_xlabel("target accuracy: interquartile mean and 95 % interval")
    in_percent(axes.xaxis)
    tidy(axes)
    _legend(figure, axes, several, bool(tuned))
    return figure


def _chosen(rows: list[dict[str, Any]], key: str) -> list[dict[str, Any]]:
    def value(row: dict[str, Any]) -> float:
        found = row[key]["target_accuracy"]["value"]
        return -1.0 if found is None else found

    grid = sorted((row for row in rows if row["kind"] == "grid"), key=value)[-MAX_GRID_ROWS:]
    rest = [row for row in rows if row["kind"] != "grid"]
    return sorted(grid + rest, key=value)


def _best_tuned(tuned: list[dict[str, Any]]) -> list[dict[str, Any]]:
    whole = [entry for entry in tuned if entry["schedule"] == WHOLE_GRID] or tuned[:2]
    return [entry for entry in whole if entry["target_accuracy"]["value"] is not None]


def _tuned_name(entry: dict[str, Any]) -> str:
    name = "best schedule" if entry["schedule"] == WHOLE_GRID else entry["schedule"]
    return f"{name}, {SETTINGS[entry['selection']]}"


def _mark(
    axes: Any, place: float, found: dict[str, Any], colour: str, marker: str, face: str
) -> None:
    if found["value"] is None:
        return
    if found["low"] is not None:
        axes.plot([found["low"], found["high"]], [place, place], color=colour, linewidth=1.6)
    axes.plot(
        found["value"],
        place,
        marker=marker,
        color=colour,
        markerfacecolor=face,
        markersize=6,
        linestyle="none",
    )


def _legend(figure: Figure, axes: Any, several: bool, tuned: bool) -> None:
    if several:
        axes.plot([], [], "o", color=_ORANGE, markerfacecolor="white", label="default base LR")
        axes.plot([], [], "s", color=_BLUE, label="mean over misjudged base LRs")
        axes.plot([], [], "s", color=INK, label="the same, learned policy")
    if tuned:
        axes.plot([], [], "D", color="#009E73", label="tuned per task")
    if several or tuned:
        legend_below(figure, axes)
