"""Estimates with their intervals, a line each: shared by the figures of all comparisons."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from matplotlib.figure import Figure

from l2o.benchmarks.report.figures.style import FAINT, GREY, INK, legend_below, new_figure, tidy
from l2o.benchmarks.statistics import Estimate
from l2o.configs.schema import Options


@dataclass(frozen=True)
class Dot:
    """An estimate on a line.

    Attributes:
        found: the estimate; nothing is drawn of an unknown one.
        colour: of dot and interval.
        marker: matplotlib's.
        filled: whether the dot is.
        shift: of the line, so that two dots do not hide each other.
        size: of the dot.
    """

    found: Estimate
    colour: str = INK
    marker: str = "o"
    filled: bool = True
    shift: float = 0.0
    size: float = 6.0


@dataclass(frozen=True)
class Line:
    """A named line of dots; one without dots is a heading.

    Attributes:
        name: at its left.
        dots: on it.
    """

    name: str
    dots: Sequence[Dot] = field(default_factory=tuple)


def draw_lines(
    lines: Sequence[Line],
    axis: str,
    *,
    width: float,
    height: float,
    upwards: bool = False,
    zero: bool = True,
    legend: int = 2,
    further: Mapping[str, Dot] | None = None,
) -> Figure:
    """Draw lines of estimates with their intervals, the first on top.

    Args:
        lines: what is drawn.
        axis: label of the horizontal axis.
        width: of the figure, inches.
        height: of the figure, inches.
        upwards: the first at the bottom instead.
        zero: mark zero.
        legend: columns of the legend.
        further: looks to explain in the legend that may be on no line: label -> dot.
    """
    figure = new_figure(width, height)
    axes = figure.subplots()
    for place, line in enumerate(lines):
        if not line.dots:
            axes.axhline(place, color=GREY, linewidth=0.6)
        for dot in line.dots:
            at = place + dot.shift
            if dot.found.has_interval:
                axes.plot(
                    [dot.found.low, dot.found.high], [at, at], color=dot.colour, linewidth=1.6
                )
            if dot.found.is_known:
                axes.plot(dot.found.value, at, **_look(dot))
    for label, dot in (further or {}).items():
        axes.plot(math.nan, math.nan, label=label, **_look(dot))
    if zero:
        axes.axvline(0, color=FAINT, linewidth=1)
    axes.set_yticks(range(len(lines)), [line.name for line in lines], fontsize=8.5)
    for tick, line in zip(axes.get_yticklabels(), lines, strict=True):
        tick.set_fontweight("normal" if line.dots else "bold")
    axes.set_ylim((-0.6, len(lines) - 0.4) if upwards else (len(lines) - 0.4, -0.6))
    axes.set_xlabel(axis)
    tidy(axes)
    if axes.get_legend_handles_labels()[0]:
        legend_below(figure, axes, columns=legend)
    return figure


def _look(dot: Dot) -> Options:
    return {
        "color": dot.colour,
        "marker": dot.marker,
        "markersize": dot.size,
        "markerfacecolor": dot.colour if dot.filled else "white",
        "markeredgewidth": 1.6 if dot.marker in "|<" else 1.0,
        "linestyle": "none",
    }
