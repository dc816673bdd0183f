"""The look of a portrait's pictures: the head in one colour, the backbone graded by depth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from l2o.benchmarks.report.figures.style import log_axis, new_figure, progress_axis, tidy
from l2o.benchmarks.report.tables import short
from l2o.benchmarks.statistics import Array
from l2o.benchmarks.studies.portrait.trace import Trace
from l2o.configs.schema import Options

HEAD = "#D55E00"
GREY = "#777777"
LONGEST = 5
"""Panels side by side."""


def backbone_colour(share: float) -> Any:
    """Return the colour of a backbone layer: share 0 is the first, 1 the last one."""
    return colormaps["viridis"](0.88 * share)


def two_rows(columns: int, sharey: str) -> tuple[Figure, Any]:
    """Return a figure of two rows of panels, a column per task, and its axes `[2, columns]`."""
    figure = new_figure(max(5.0, 2.7 * columns + 0.6), 5.4)
    grid = figure.subplots(2, columns, sharex=True, sharey=sharey, squeeze=False)  # type: ignore[call-overload]
    for axes in grid[1]:
        progress_axis(axes)
    return figure, grid


def draw_held(axes: Axes, trace: Trace, logs: Array, **look: Any) -> None:
    """Draw 10 ** logs `[decisions]` over training progress, each held until the next decision."""
    # A run that diverged ended early.
    at = np.array([*trace.learning_rates.step, trace.loss.step[-1]]) / trace.steps
    axes.step(at, 10.0 ** np.append(logs, logs[-1:]), where="post", **look)


def draw_multipliers(traces: Sequence[Trace]) -> Figure:
    """Draw the multipliers of every layer group, a panel per fine-tune with its accuracy."""
    columns = min(LONGEST, len(traces))
    rows = -(-len(traces) // columns)
    figure = new_figure(max(4.0, 2.3 * columns + 0.6), 2.3 * rows + 0.9)
    grid: Any = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axes in grid.flat[len(traces) :]:
        axes.set_visible(False)
    for trace, axes in zip(traces, grid.flat):
        _draw_groups(axes, trace)
        axes.axhline(1.0, color=GREY, linewidth=0.8, linestyle=":")
        outcome = f"{short(trace.target_accuracy)} %" + ", diverged" * trace.diverged
        axes.set_title(f"{trace.title}\n{outcome}", fontsize=8)
        progress_axis(axes)
        axes.label_outer()
        tidy(axes)
    log_axis(grid[0, 0])
    for axes in grid[:, 0]:
        axes.set_ylabel("multiplier")
    depths = {"backbone, last layer": 1.0, "middle": 0.5, "first layer": 0.0}
    backbone = {name: {"color": backbone_colour(share)} for name, share in depths.items()}
    legend(figure, {"head": {"color": HEAD, "linewidth": 2.2}, **backbone}, columns=4)
    return figure


def _draw_groups(axes: Axes, trace: Trace) -> None:
    logs = trace.logs
    if not len(logs):
        return
    depth = np.cumsum([not head for head in trace.heads]) - 1
    for index, head in enumerate(trace.heads):
        colour = HEAD if head else backbone_colour(depth[index] / max(1, depth[-1]))
        look = {"color": colour, "linewidth": 2.2 if head else 1.3, "zorder": 3 if head else 2}
        draw_held(axes, trace, logs[:, index], **look)


def legend(figure: Figure, looks: Mapping[str, Options], columns: int) -> None:
    """Put a legend of lines under the whole figure: label -> look."""
    handles = [Line2D([], [], label=label, **look) for label, look in looks.items()]
    place: Options = {"loc": "outside lower center", "frameon": False, "fontsize": 9}
    figure.legend(handles=handles, ncols=columns, **place)
