"""Action behaviour: each layer group's multiplier over training, as in ASG's figure."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from l2o.benchmarks.cells.cell import Record
from l2o.benchmarks.comparisons.results_file import Results
from l2o.benchmarks.report.figures.reduce import mean_over_runs, quantile_over_runs
from l2o.benchmarks.report.figures.style import (
    factor_title,
    factors_shown,
    focus,
    legend_below,
    log_axis,
    new_figure,
    progress_axis,
    tidy,
)
from l2o.benchmarks.statistics import Array

_MARKERS = "osD^vP<>X*"
_DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (3, 1, 1, 1)), (0, (7, 2)))
MAX_PANELS = 4
GRID = np.linspace(0.0, 1.0, 41)


def draw_multipliers(results: Results) -> Figure | None:
    """Draw geometric means with 10-90 % bands, per layer group.

    One panel per base LR for the first learned policy; without one, a panel for each of the first
    rows. Multipliers of zero (frozen layers) have no place on the log axis and leave a gap.
    """
    panels = [panel for panel in _panels(results) if panel[1]]
    if not panels:
        return None
    figure = new_figure(max(7.2, 3.0 * len(panels) + 1.2), 4.2)
    grid = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for (title, records), axes in zip(panels, grid):
        _draw_groups(axes, records)
        axes.set_title(title, fontsize=10)
        axes.axhline(1.0, color="#777777", linewidth=0.8, linestyle=":")
        progress_axis(axes)
        tidy(axes)
    log_axis(grid[0])
    grid[0].set_ylabel("multiplier on the base LR")
    legend_below(figure, grid[0], columns=6)
    return figure


def _panels(results: Results) -> list[tuple[str, list[Record]]]:
    """Return titles and runs."""
    learned = [row for row in results.rows if row["kind"] == "policy"]
    if learned:
        factors = factors_shown(results)
        return [(factor_title(f), _usable(results, learned[0], f)) for f in factors]
    rows = {row["label"]: row for row in results.rows}
    first = [rows[label] for label in focus(results, limit=MAX_PANELS)]
    return [(row["label"], _usable(results, row, row["default"]["factor"])) for row in first]


def _usable(results: Results, row: dict[str, Any], factor: float) -> list[Record]:
    """Return the runs with decisions and the commonest layer groups."""
    records = [r for r in results.cells(row, factor) if r["learning_rates"]["step"]]
    names = [tuple(record["learning_rates"]["groups"]) for record in records]
    common = max(names, key=names.count, default=())
    return [record for record, groups in zip(records, names) if groups == common]


def _draw_groups(axes: Axes, records: list[Record]) -> None:
    logs = np.stack([_on_grid(record) for record in records])
    groups = records[0]["learning_rates"]["groups"]
    for index, group in enumerate(groups):
        colour = colormaps["viridis"](0.9 * index / max(1, len(groups) - 1))
        values = logs[:, :, index]
        middle = 10.0 ** mean_over_runs(values)
        low, high = (10.0 ** quantile_over_runs(values, q) for q in (0.1, 0.9))
        axes.fill_between(GRID, low, high, color=colour, alpha=0.15, linewidth=0)
        axes.plot(
            GRID,
            middle,
            color=colour,
            linestyle=_DASHES[index % len(_DASHES)],
            marker=_MARKERS[index % len(_MARKERS)],
            markevery=(index % 5, 8),
            markersize=4.5,
            linewidth=1.6,
            label=group,
        )


def _on_grid(record: Record) -> Array:
    """Return log10 multipliers `[len(GRID), groups]`, each held until the next decision."""
    rates = record["learning_rates"]
    at = np.array(rates["step"]) / record["steps"]
    values = np.array(rates["multipliers"], dtype=np.float64)
    logs = np.log10(np.where(values > 0, values, np.nan))
    held = np.clip(np.searchsorted(at, GRID, side="right") - 1, 0, len(at) - 1)
    return np.asarray(logs[held])
