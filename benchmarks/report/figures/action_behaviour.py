"""Action behaviour of policies that only lower the base LR, ASG's among them: zero has a place."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from l2o.benchmarks.cells.cell import Record
from l2o.benchmarks.comparisons.results_file import Results
from l2o.benchmarks.report.behaviour import behaviour_rows
from l2o.benchmarks.report.figures.reduce import mean_over_runs, quantile_over_runs
from l2o.benchmarks.report.figures.style import legend_below, new_figure, progress_axis, tidy
from l2o.benchmarks.statistics import Array

MAX_PANELS = 4
GRID = np.linspace(0.0, 1.0, 41)


def draw_action_behaviour(results: Results) -> Figure | None:
    """Draw means with 10-90 % bands of the factor of each layer group, a panel per policy."""
    panels = [(row["label"], records) for row, records in behaviour_rows(results)][:MAX_PANELS]
    if not panels:
        return None
    figure = new_figure(max(7.2, 3.4 * len(panels) + 0.8), 4.2)
    grid: Any = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for (label, records), axes in zip(panels, grid):
        _draw_groups(axes, records)
        axes.set_title(label, fontsize=10)
        axes.set_ylim(-0.03, 1.03)
        progress_axis(axes)
        tidy(axes)
    grid[0].set_ylabel("factor on the base LR")
    legend_below(figure, grid[0], columns=7)
    return figure


def _draw_groups(axes: Axes, records: list[Record]) -> None:
    values = np.stack([_on_grid(record) for record in records])
    groups = records[0]["learning_rates"]["groups"]
    for index, group in enumerate(groups):
        head = index == len(groups) - 1
        colour = "#222222" if head else colormaps["viridis"](0.9 * index / max(1, len(groups) - 1))
        low, high = (quantile_over_runs(values[:, :, index], q) for q in (0.1, 0.9))
        axes.fill_between(GRID, low, high, color=colour, alpha=0.12, linewidth=0)
        axes.plot(
            GRID,
            mean_over_runs(values[:, :, index]),
            color=colour,
            linestyle=("-", (0, (5, 1.5)), (0, (1, 1)), (0, (3, 1, 1, 1)))[index % 4],
            marker="osD^vP<X"[index % 8],
            markevery=(index % 5, 8),
            markersize=4.5,
            linewidth=2.4 if head else 1.6,
            label=group,
        )


def _on_grid(record: Record) -> Array:
    """Return factors `[len(GRID), groups]`, each held until the next decision."""
    rates = record["learning_rates"]
    at = np.array(rates["step"]) / record["steps"]
    values = np.array(rates["multipliers"], dtype=np.float64)
    held = np.clip(np.searchsorted(at, GRID, side="right") - 1, 0, len(at) - 1)
    return np.asarray(values[held])
