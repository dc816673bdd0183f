"""Action behaviour: each layer group's multiplier over training, as in ASG's figure."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from l2o.benchmarks.cells.record import Record
from l2o.benchmarks.comparisons.table.behaviour import behaviour_rows
from l2o.benchmarks.comparisons.table.figures.over_training import factors_shown
from l2o.benchmarks.comparisons.table.figures.rows import focus
from l2o.benchmarks.comparisons.table.result_models import TableFolder, runs_that_decide
from l2o.benchmarks.report.figures import style
from l2o.benchmarks.statistics import Array
from l2o.configs.schema import Options

_MARKERS = "osD^vP<>X*"
MAX_PANELS = 4
GRID = np.linspace(0.0, 1.0, 41)

Panels = Sequence[tuple[str, list[Record]]]


def draw_multipliers(folder: TableFolder) -> Figure | None:
    """Draw geometric means with 10-90 % bands, per layer group.

    One panel per base LR for the first learned policy; without one, a panel for each of the first
    rows. Multipliers of zero (frozen layers) have no place on the log axis and leave a gap.
    """
    panels = [panel for panel in _panels(folder) if panel[1]]
    if not panels:
        return None
    figure = _draw_panels(panels, 3.0 * len(panels) + 1.2, log=True)
    axes = figure.axes[0]
    for panel in figure.axes:
        panel.axhline(1.0, color=style.FAINT, linewidth=0.8, linestyle=":")
    style.log_axis(axes)
    axes.set_ylabel("multiplier on the base LR")
    style.legend_below(figure, axes, columns=6)
    return figure


def draw_action_behaviour(folder: TableFolder) -> Figure | None:
    """Draw means with 10-90 % bands of factors of policies that only lower the base LR.

    ASG's are among them: zero has a place. A panel per policy.
    """
    panels = [(row.label, records) for row, records in behaviour_rows(folder)][:MAX_PANELS]
    if not panels:
        return None
    figure = _draw_panels(panels, 3.4 * len(panels) + 0.8, log=False)
    figure.axes[0].set_ylim(-0.03, 1.03)
    figure.axes[0].set_ylabel("factor on the base LR")
    style.legend_below(figure, figure.axes[0], columns=7)
    return figure


def _panels(folder: TableFolder) -> Panels:
    rows = {row.label: row for row in folder.results.rows}
    learned = [row for row in rows.values() if row.kind == "policy"]
    if learned:
        factors = factors_shown(folder.results)
        return [(style.factor_title(f), runs_that_decide(folder, learned[0], f)) for f in factors]
    first = [rows[label] for label in focus(folder.results, limit=MAX_PANELS)]
    return [(r.label, runs_that_decide(folder, r, r.default.factors[0])) for r in first]


def _draw_panels(panels: Panels, width: float, log: bool) -> Figure:
    """Draw a panel for each set of runs: geometric means, or plain ones with the head in black."""
    figure = style.new_figure(max(7.2, width), 4.2)
    grid = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for (title, records), axes in zip(panels, grid, strict=True):
        values = np.stack([_on_grid(record) for record in records])
        groups = records[0].rates.groups
        for index, group in enumerate(groups):
            head = not log and index == len(groups) - 1
            look = {
                "color": style.INK if head else style.group_colour(index, len(groups)),
                "linewidth": 2.4 if head else 1.6,
                "linestyle": style.DASHES[index % len(style.DASHES)],
                "marker": _MARKERS[index % len(_MARKERS)],
                "markevery": (index % 5, 8),
                "label": group,
            }
            _draw_group(axes, values[:, :, index], log, look)
        axes.set_title(title, fontsize=10)
        style.progress_axis(axes)
        style.tidy(axes)
    return figure


def _draw_group(axes: Axes, values: Array, log: bool, look: Options) -> None:
    if log:
        values = np.log10(np.where(values > 0, values, np.nan))
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning):
        middle = np.nanmean(values, axis=0)  # of what is all NaN, it is NaN
    found = middle, *style.quantiles_over_runs(values, 0.1, 0.9)
    middle, low, high = (10.0**each if log else each for each in found)
    alpha = 0.15 if log else 0.12
    axes.fill_between(GRID, low, high, color=look["color"], alpha=alpha, linewidth=0)
    axes.plot(GRID, middle, markersize=4.5, **look)


def _on_grid(record: Record) -> Array:
    """Return multipliers `[len(GRID), groups]`, each held until the next decision."""
    at = np.array(record.rates.step) / record.steps
    values = np.array(record.rates.multipliers, dtype=np.float64)
    held = np.clip(np.searchsorted(at, GRID, side="right") - 1, 0, len(at) - 1)
    return np.asarray(values[held])
