"""Panels of a metric over training, one per base learning rate: shared by two figures."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from l2o.benchmarks.comparisons.results_file import Results, curves
from l2o.benchmarks.report.figures.reduce import quantile_over_runs
from l2o.benchmarks.report.figures.style import (
    Look,
    factor_title,
    factors_shown,
    focus,
    legend_below,
    new_figure,
    progress_axis,
    tidy,
)
from l2o.benchmarks.statistics import Array


def draw_over_training(
    results: Results, metric: str, label: str, finish: Callable[[Axes], None]
) -> Figure | None:
    """Draw the median over all runs against progress, and the middle half of the runs as a band.

    Args:
        results: of the benchmark.
        metric: key of a record's curve.
        label: of the vertical axis.
        finish: last touches on the first panel, whose vertical axis all share.
    """
    factors = factors_shown(results)
    figure = new_figure(max(7.2, 3.0 * len(factors) + 1.2), 4.2)
    panels = figure.subplots(1, len(factors), sharey=True, squeeze=False)[0]
    rows = {row["label"]: row for row in results.rows}
    drawn = False
    for factor, axes in zip(factors, panels):
        for name, look in focus(results).items():
            records = results.cells(rows[name], factor)
            if records:
                progress, values = curves(records, metric)
                drawn |= _draw(axes, name, look, progress, values)
        axes.set_title(factor_title(factor), fontsize=10)
        progress_axis(axes)
        tidy(axes)
    if not drawn:
        return None
    panels[0].set_ylabel(label)
    finish(panels[0])
    legend_below(figure, panels[0], columns=2 if len(factors) < 3 else 3)
    return figure


def _draw(axes: Axes, name: str, look: Look, progress: Array, values: Array) -> bool:
    """Draw one row from values `[runs, points]`; False when nothing was measured."""
    if np.isnan(values).all():
        return False
    low, middle, high = (quantile_over_runs(values, q) for q in (0.25, 0.5, 0.75))
    axes.fill_between(progress, low, high, color=look.color, alpha=0.13, linewidth=0)
    axes.plot(progress, middle, label=name, zorder=look.zorder, **look.as_dict())
    return True
