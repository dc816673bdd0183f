"""Panels of a score against how wrong the base learning rate was: the key picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from l2o.benchmarks.cells.quantities import Quantity
from l2o.benchmarks.report.factors import show_factor
from l2o.benchmarks.report.figures import style
from l2o.benchmarks.statistics import Estimate

COLUMNS = 3


@dataclass(frozen=True)
class Curve:
    """A row over base LRs: estimates by factor, or `level`, one for all of them.

    Attributes:
        label: in the legend.
        found: (factor, estimate) pairs.
        look: how it is drawn; None: in grey, with others.
        bars: draw intervals as bars.
        band: draw intervals as a band.
        level: of a row that has one score whatever the base LR.
    """

    label: str
    found: Sequence[tuple[float, Estimate]]
    look: style.Look | None = None
    bars: bool = False
    band: bool = False
    level: Estimate | None = None


@dataclass(frozen=True)
class Panel:
    """A family: its title, its rows, and what guessing gives."""

    title: str
    curves: Sequence[Curve]
    chance: float | None


def draw_by_base_lr(
    panels: Sequence[Panel], factors: Sequence[float], quantity: Quantity
) -> Figure:
    """Draw a panel per family.

    Args:
        panels: families.
        factors: on the default base LR.
        quantity: that is shown.
    """
    single = len(panels) == 1 and not panels[0].title
    columns = min(COLUMNS, len(panels))
    lines = math.ceil(len(panels) / columns)
    size = (7.2, 4.8) if single else (1.4 + 3.1 * columns, 1.5 + 2.7 * lines)
    figure = style.new_figure(*size)
    grid = figure.subplots(lines, columns, sharey=True, squeeze=False).flatten()
    for axes, panel in zip(grid, panels, strict=False):
        for curve in panel.curves:
            _draw(axes, curve)
        _finish(axes, panel, factors, quantity)
    grid[0].set_ylim(bottom=0)  # last: it ends the scaling of all panels
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    for axes in grid[::columns]:
        axes.set_ylabel(f"{quantity.words} (real images)" if single else quantity.words)
    across = "base learning rate, as a multiple of the task's default"
    for axes in grid[max(0, len(panels) - columns) : len(panels)]:
        axes.set_xlabel(across if single else "base LR / default")
    style.legend_below(figure, grid[0], columns=2 if columns < COLUMNS else 3)
    return figure


def _draw(axes: Axes, curve: Curve) -> None:
    known = [(factor, found) for factor, found in curve.found if found.is_known]
    x, y = [factor for factor, _ in known], [found.value for _, found in known]
    low, high = ([found.ends[end] for _, found in known] for end in (0, 1))
    if curve.look is None:
        axes.plot(x, y, color=style.GREY, linewidth=0.9, label=curve.label, zorder=1)
    elif curve.level is not None:
        look = {"color": curve.look.color, "linestyle": curve.look.linestyle}
        if curve.level.is_known:
            axes.axhline(curve.level.value, **look, linewidth=1.8, label=curve.label)
    elif curve.bars:
        given = curve.look.as_dict() | {"capsize": 2.5, "elinewidth": 1}
        error = np.array([np.subtract(y, low), np.subtract(high, y)]).clip(min=0)
        axes.errorbar(x, y, yerr=error, label=curve.label, zorder=curve.look.zorder, **given)
    else:
        axes.plot(x, y, label=curve.label, zorder=curve.look.zorder, **curve.look.as_dict())
        if curve.band and known and known[0][1].has_interval:
            axes.fill_between(x, low, high, color=curve.look.color, alpha=0.15, linewidth=0)


def _finish(axes: Axes, panel: Panel, factors: Sequence[float], quantity: Quantity) -> None:
    if panel.title:
        axes.set_title(panel.title, fontsize=10)
    axes.set_xscale("log")
    axes.set_xticks(factors, [show_factor(factor) for factor in factors])
    axes.minorticks_off()
    style.in_percent(axes.yaxis, quantity.unit)
    style.chance_line(axes, panel.chance)
    style.tidy(axes)
