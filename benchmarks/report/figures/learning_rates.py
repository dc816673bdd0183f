"""One fine-tune in a picture: each layer group's learning rate, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from l2o.benchmarks.cells.quantities import QUANTITIES, SOURCE, TARGET
from l2o.benchmarks.cells.record import Point, Record
from l2o.benchmarks.report.figures.style import Look, in_percent, legend_below, new_figure, tidy

_DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (3, 1, 1, 1)), (0, (7, 2)))
_SCORED = {
    TARGET: ("target (real, only scored)", Look("#222222", "o", "-")),
    SOURCE: ("source validation", Look("#0072B2", "s", (0, (5, 1.5)))),
}


def draw_learning_rates(record: Record, title: str) -> Figure:
    """Draw learning rates per layer group above scores, over the steps of one fine-tune.

    Args:
        record: what `l2o.benchmarks.cells.cell.measure` returns.
        title: heading of the picture.
    """
    figure = new_figure(7.2, 5.6)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    _draw_rates(above, record)
    _draw_scores(below, record.curve)
    below.set_xlabel("optimizer step")
    above.set_title(title, fontsize=11)
    for axes in (above, below):
        tidy(axes)
    legend_below(figure, above, columns=4)
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
            color=colormaps["viridis"](0.9 * index / max(1, len(rates.groups) - 1)),
            linestyle=_DASHES[index % len(_DASHES)],
            linewidth=1.8,
            label=group,
        )
    axes.axhline(rates.base_lr, color="#777777", linewidth=1, linestyle=":", label="base LR")
    axes.set_yscale("log")
    axes.set_ylabel("learning rate")


def _draw_scores(axes: Axes, curve: Sequence[Point]) -> None:
    steps = [point.step for point in curve]
    for name, (label, look) in _SCORED.items():
        scores = [QUANTITIES[name].in_scores(point.scores) for point in curve]
        axes.plot(steps, scores, label=label, **look.as_dict())
    axes.set_ylabel(QUANTITIES[TARGET].metric)
    if QUANTITIES[TARGET].unit == "%":
        axes.set_ylim(0, 1.02)
        in_percent(axes.yaxis)
    axes.legend(frameon=False, fontsize=9, loc="best", handlelength=3.6)
