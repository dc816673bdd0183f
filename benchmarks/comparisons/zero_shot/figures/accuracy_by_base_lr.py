"""Target accuracy against how wrong the base learning rate was, a panel per family."""

from __future__ import annotations

import math
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from l2o.benchmarks.comparisons.zero_shot.figures.base import looks
from l2o.benchmarks.report.factors import show_factor
from l2o.benchmarks.report.figures.style import (
    GREY,
    chance_line,
    in_percent,
    legend_below,
    new_figure,
    tidy,
)

COLUMNS = 3


def draw_accuracy_by_base_lr(data: dict[str, Any]) -> Figure | None:
    """Draw each family's contenders by base-LR factor; None with a single factor."""
    factors = sorted(data["counts"]["base_lr_factors"])
    if len(factors) < 2:
        return None
    names = list(data["families"])
    columns = min(COLUMNS, len(names))
    lines = math.ceil(len(names) / columns)
    figure = new_figure(1.4 + 3.1 * columns, 1.5 + 2.7 * lines)
    grid = figure.subplots(lines, columns, sharey=True, squeeze=False).flatten()
    for axes, name in zip(grid, names):
        _draw_family(axes, data, name, factors)
    grid[0].set_ylim(bottom=0)  # last: it ends the scaling of all panels
    for axes in grid[len(names) :]:
        axes.set_visible(False)
    for axes in grid[::columns]:
        axes.set_ylabel("target accuracy")
    for axes in grid[max(0, len(names) - columns) : len(names)]:
        axes.set_xlabel("base LR / default")
    legend_below(figure, grid[0], columns=2 if columns < COLUMNS else 3)
    return figure


def _draw_family(axes: Axes, data: dict[str, Any], name: str, factors: list[float]) -> None:
    named = looks(data)
    for row in data["rows"]:
        found = row["families"][name]
        entries = [entry for entry in found["by_factor"] if entry["value"] is not None]
        x, y = [entry["factor"] for entry in entries], [entry["value"] for entry in entries]
        look = named.get(row["label"])
        if look is None:
            axes.plot(x, y, color=GREY, linewidth=0.8, zorder=1, label="other untuned rivals")
        elif entries:
            style = look.as_dict()
            axes.plot(x, y, label=row["label"], zorder=look.zorder, **style)
            if row["kind"] == "policy" and entries[0]["low"] is not None:
                low, high = ([entry[end] for entry in entries] for end in ("low", "high"))
                axes.fill_between(x, low, high, color=look.color, alpha=0.15, linewidth=0)
        elif found["default"]["value"] is not None:
            axes.axhline(
                found["default"]["value"],
                color=look.color,
                linestyle=look.linestyle,
                linewidth=1.8,
                label=row["label"],
            )
    family = data["families"][name]
    axes.set_title(f"{name} (unseen)" if family["unseen"] else name, fontsize=10)
    axes.set_xscale("log")
    axes.set_xticks(factors, [show_factor(factor) for factor in factors])
    axes.minorticks_off()
    in_percent(axes.yaxis)
    chance_line(axes, family["chance"][0] if len(family["chance"]) == 1 else None)
    tidy(axes)
