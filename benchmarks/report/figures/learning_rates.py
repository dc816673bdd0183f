"""One fine-tune in a picture: each layer group's learning rate, and what came of it."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from l2o.benchmarks.cells.quantities import QUANTITIES, SOURCE, TARGET
from l2o.benchmarks.cells.record import Record
from l2o.benchmarks.report.figures import style

_SCORED = {
    TARGET: ("target (real, only scored)", style.Look(style.INK, "o", "-")),
    SOURCE: ("source validation", style.Look(style.BLUE, "s", (0, (5, 1.5)))),
}


def draw_learning_rates(record: Record, title: str) -> Figure:
    """Draw learning rates per layer group above scores, over the steps of one fine-tune.

    Args:
        record: what `l2o.benchmarks.cells.cell.measure` returns.
        title: heading of the picture.
    """
    figure = style.new_figure(7.2, 5.6)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    _draw_rates(above, record)
    _draw_scores(below, record)
    below.set_xlabel("optimizer step")
    above.set_title(title, fontsize=11)
    for axes in (above, below):
        style.tidy(axes)
    style.legend_below(figure, above, columns=4)
    return figure


def _draw_rates(axes: Axes, record: Record) -> None:
    rates = record.rates
    steps = [*rates.step, record.curve[-1].step]
    values = np.array(rates.multipliers, dtype=np.float64) * rates.base_lr
    # A rate of zero has no place on a log axis: the line has a gap there.
    values = np.where(values > 0, values, np.nan)
    for index, group in enumerate(rates.groups):
        held = np.append(values[:, index], values[-1, index])
        axes.step(
            steps,
            held,
            where="post",
            color=style.group_colour(index, len(rates.groups)),
            linestyle=style.DASHES[index % len(style.DASHES)],
            linewidth=1.8,
            label=group,
        )
    for stage, first in (rates.stages or {}).items():
        axes.axvline(first, color=style.FAINT, linewidth=1)
        axes.annotate(
            f" {stage}", (first, 1), xycoords=("data", "axes fraction"), va="top", fontsize=9
        )
    axes.axhline(rates.base_lr, color=style.FAINT, linewidth=1, linestyle=":", label="base LR")
    axes.set_yscale("log")
    axes.set_ylabel("learning rate")


def _draw_scores(axes: Axes, record: Record) -> None:
    steps = [point.step for point in record.curve]
    main = QUANTITIES[TARGET].named(record)
    for name, (label, look) in _SCORED.items():
        quantity = QUANTITIES[name].like(main)
        scores = [quantity.in_scores(point.scores) for point in record.curve]
        axes.plot(steps, scores, label=label, **look.as_dict())
    axes.set_ylabel(main.metric)
    style.in_percent(axes.yaxis, main.unit)
    if main.unit == "%":
        axes.set_ylim(0, 1.02)
    axes.legend(frameon=False, fontsize=9, loc="best", handlelength=3.6)
