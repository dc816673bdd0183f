"""The key picture: target accuracy against how wrong the base learning rate was."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from l2o.benchmarks.comparisons.results_file import Results
from l2o.benchmarks.report.factors import show_factor
from l2o.benchmarks.report.figures.style import (
    GREY,
    chance_line,
    focus,
    in_percent,
    legend_below,
    new_figure,
    tidy,
)


def draw_accuracy_by_base_lr(results: Results) -> Figure | None:
    """Draw each row's interquartile mean per base-LR factor; None with a single factor."""
    factors = sorted({entry["factor"] for row in results.rows for entry in row["by_factor"]})
    if len(factors) < 2:
        return None
    figure = new_figure(7.2, 4.8)
    axes = figure.subplots()
    looks = focus(results)
    rows = {row["label"]: row for row in results.rows}
    for label, look in looks.items():
        x, y, error = _line(rows[label])
        style = look.as_dict() | {"capsize": 2.5, "elinewidth": 1, "zorder": look.zorder}
        axes.errorbar(x, y, yerr=error, label=label, **style)
    others = [row for row in results.rows if row["label"] not in looks]
    for index, row in enumerate(others):
        name = f"other schedules ({len(others)})" if index == 0 else None
        x, y, _ = _line(row)
        axes.plot(x, y, color=GREY, linewidth=0.9, label=name, zorder=1)
    _finish(axes, factors, results.data["chance"])
    legend_below(figure, axes)
    return figure


def _line(row: dict[str, Any]) -> tuple[list[float], list[float], np.ndarray]:
    """Return factors, values and the distances to the interval's ends."""
    entries = [e for e in row["by_factor"] if e["target_accuracy"]["value"] is not None]
    found = [entry["target_accuracy"] for entry in entries]
    value = [item["value"] for item in found]
    below = [max(0.0, i["value"] - (i["value"] if i["low"] is None else i["low"])) for i in found]
    above = [max(0.0, (i["value"] if i["high"] is None else i["high"]) - i["value"]) for i in found]
    return [entry["factor"] for entry in entries], value, np.array([below, above])


def _finish(axes: Axes, factors: list[float], chance: float | None) -> None:
    axes.set_xscale("log")
    axes.set_xticks(factors, [show_factor(factor) for factor in factors])
    axes.minorticks_off()
    axes.set_xlabel("base learning rate, as a multiple of the task's default")
    axes.set_ylabel("target accuracy (real images)")
    axes.set_ylim(bottom=0)
    in_percent(axes.yaxis)
    chance_line(axes, chance)
    tidy(axes)
