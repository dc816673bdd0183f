"""The main score and the proxy KL over training, a panel per base learning rate."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from l2o.benchmarks.cells.record import Point, Record
from l2o.benchmarks.comparisons.table.figures.rows import focus
from l2o.benchmarks.comparisons.table.result_models import (
    TableFolder,
    TableResults,
    good_records,
)
from l2o.benchmarks.report.figures import style
from l2o.benchmarks.statistics import Array

NEAR_CHANCE = 0.4
Measured = Callable[[Point], float | None]


def factors_shown(results: TableResults) -> list[float]:
    """Return the smallest, the default and the largest base-LR factor of the benchmark."""
    factors = sorted(results.counts.base_lr_factors)
    default = min(factors, key=lambda factor: max(factor, 1 / factor))
    return sorted({factors[0], default, factors[-1]})


def draw_score_over_training(folder: TableFolder) -> Figure | None:
    """Draw the main score against progress, at low, default and high base LRs."""
    main = folder.results.main

    def finish(axes: Axes) -> None:
        style.in_percent(axes.yaxis, main.unit)
        # Near chance the distance to it matters; far above it, those between the rows do.
        if main.unit == "%" and axes.get_ylim()[0] < NEAR_CHANCE:
            axes.set_ylim(bottom=0)
            style.chance_line(axes, main.chance)

    label = f"{main.words} (real images)"
    return _draw_panels(folder, lambda point: main.in_scores(point.scores), label, finish)


def draw_proxy_kl_over_training(folder: TableFolder) -> Figure | None:
    """Draw the proxy KL against progress, at low, default and high base LRs."""

    def finish(axes: Axes) -> None:
        if axes.get_ylim()[1] > 0:
            style.log_axis(axes)

    label = "proxy KL (nats), source images"
    return _draw_panels(folder, lambda point: point.proxy_kl, label, finish)


def curves(records: Sequence[Record], measured: Measured) -> tuple[Array, Array]:
    """Return progress `[P]` in (0, 1] and values `[N, P]` over training.

    A fine-tune that ended early keeps its last value; what was not measured is NaN.
    """
    longest = max(records, key=lambda record: len(record.curve))
    progress = [point.step / longest.steps for point in longest.curve]
    columns = []
    for record in records:
        values = [measured(point) for point in record.curve]
        column = [np.nan if value is None else value for value in values]
        columns.append(column + column[-1:] * (len(progress) - len(column)))
    return np.array(progress, dtype=np.float64), np.array(columns, dtype=np.float64)


def _draw_panels(
    folder: TableFolder, measured: Measured, label: str, finish: Callable[[Axes], None]
) -> Figure | None:
    """Draw the median over all runs, and the middle half of the runs as a band.

    `finish` puts last touches on the first panel, whose vertical axis all share.
    """
    factors = factors_shown(folder.results)
    figure = style.new_figure(max(7.2, 3.0 * len(factors) + 1.2), 4.2)
    panels = figure.subplots(1, len(factors), sharey=True, squeeze=False)[0]
    rows = {row.label: row for row in folder.results.rows}
    drawn = False
    for factor, axes in zip(factors, panels, strict=True):
        for name, look in focus(folder.results).items():
            records = good_records(folder, rows[name], factor)
            if records:
                drawn |= _draw(axes, name, look, *curves(records, measured))
        axes.set_title(style.factor_title(factor), fontsize=10)
        style.progress_axis(axes)
        style.tidy(axes)
    if not drawn:
        return None
    panels[0].set_ylabel(label)
    finish(panels[0])
    style.legend_below(figure, panels[0], columns=2 if len(factors) < 3 else 3)
    return figure


def _draw(axes: Axes, name: str, look: style.Look, progress: Array, values: Array) -> bool:
    """Draw one row from values `[runs, points]`; False when nothing was measured."""
    if np.isnan(values).all():
        return False
    low, middle, high = style.quantiles_over_runs(values, 0.25, 0.5, 0.75)
    axes.fill_between(progress, low, high, color=look.color, alpha=0.13, linewidth=0)
    axes.plot(progress, middle, label=name, zorder=look.zorder, **look.as_dict())
    return True
