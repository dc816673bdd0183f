"""`multipliers.png`: what the policy chose for each layer group, over time, task by task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from l2o.benchmarks.report.figures.style import log_axis, new_figure, progress_axis, tidy
from l2o.benchmarks.studies.portrait.layers import (
    LONGEST,
    draw_groups,
    groups_legend,
    percent,
    task_title,
)
from l2o.benchmarks.studies.portrait.results import Record


def draw_multipliers(records: Sequence[Record]) -> Figure:
    """Draw a panel per fine-tune, with its final target accuracy as a title."""
    columns = min(LONGEST, len(records))
    rows = -(-len(records) // columns)
    figure = new_figure(max(4.0, 2.3 * columns + 0.6), 2.3 * rows + 0.9)
    grid: Any = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axes in grid.flat[len(records) :]:
        axes.set_visible(False)
    for record, axes in zip(records, grid.flat):
        draw_groups(axes, record)
        axes.axhline(1.0, color="#777777", linewidth=0.8, linestyle=":")
        outcome = percent(record["target_accuracy"])
        outcome += ", diverged" if record["diverged"] else ""
        axes.set_title(f"{task_title(record)}\n{outcome}", fontsize=8)
        progress_axis(axes)
        axes.label_outer()
        tidy(axes)
    log_axis(grid[0, 0])
    for axes in grid[:, 0]:
        axes.set_ylabel("multiplier")
    groups_legend(figure)
    return figure
