"""The look that all figures share: legible in print, in grey and to colour-blind readers."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from l2o.benchmarks.report.factors import show_factor
from l2o.benchmarks.statistics import Array
from l2o.configs.schema import Options

GREY, INK, FAINT = "#b5b5b5", "#222222", "#777777"
# Okabe & Ito's palette; each colour comes with its own marker and dashes.
BLUE, ORANGE, GREEN = "#0072B2", "#D55E00", "#009E73"
LOOKS: tuple[tuple[str, str, Any], ...] = (
    (BLUE, "s", (0, (5, 1.5))),
    (ORANGE, "^", (0, (3, 1, 1, 1))),
    (GREEN, "D", (0, (1, 1))),
    ("#CC79A7", "v", (0, (7, 2, 1, 2))),
    ("#E69F00", "P", (0, (4, 1, 1, 1, 1, 1))),
    ("#56B4E9", "X", (0, (2, 1.5))),
    ("#7A5195", "<", (0, (6, 1))),
)
MAX_FOCUS = 1 + len(LOOKS)
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (3, 1, 1, 1)), (0, (7, 2)))
"""Of the layer groups of a network, in turn."""


@dataclass(frozen=True)
class Look:
    """How one row is drawn: keyword arguments of `Axes.plot`."""

    color: str
    marker: str
    linestyle: Any
    linewidth: float = 1.6
    markersize: float = 5.0

    @property
    def zorder(self) -> float:
        """Learned policies are drawn on top."""
        return 3.0 if self.linestyle == "-" else 2.5

    def as_dict(self) -> Options:
        """Return the keyword arguments."""
        return dict(vars(self))


POLICY = Look(INK, "o", "-", linewidth=2.6, markersize=6.0)
"""How the learned policy that a figure is about is drawn."""


def new_figure(width: float = 7.2, height: float = 4.2) -> Figure:
    """Return an empty figure (inches), laid out so that nothing overlaps."""
    return Figure(figsize=(width, height), layout="constrained")


def factor_title(factor: float) -> str:
    """Return a panel's title for a base-LR factor."""
    if abs(factor - 1) < 1e-9:
        return "default base LR"
    return f"base LR × {show_factor(factor)}"


def progress_axis(axes: Axes) -> None:
    """Label the horizontal axis, with ticks that do not touch those of the next panel."""
    axes.set_xlabel("training progress")
    axes.set_xlim(0, 1.03)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1.0], ["0", "", "½", "", "1"])


def tidy(axes: Axes) -> None:
    """Take away what carries no information and add a light grid."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(True, color="#e4e4e4", linewidth=0.7)
    axes.set_axisbelow(True)


def log_axis(axes: Axes) -> None:
    """Make the vertical axis logarithmic, of whole decades labelled as plain numbers."""
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    axes.set_ylim(10.0 ** math.floor(math.log10(low)), 10.0 ** math.ceil(math.log10(high)))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())


def in_percent(axis: Axis, unit: str = "%") -> None:
    """Label an axis of shares as percentages; of another unit, leave it."""
    if unit == "%":
        axis.set_major_formatter(lambda share, _: f"{round(100 * share, 3):g} %")


def group_colour(index: int, groups: int) -> Any:
    """Return the colour of a layer group, from the input to the head."""
    return colormaps["viridis"](0.9 * index / max(1, groups - 1))


def chance_line(axes: Axes, chance: float | None) -> None:
    """Mark what guessing gives."""
    if chance is not None:
        axes.axhline(chance, color=FAINT, linewidth=1, linestyle=":", label="chance")


def quantiles_over_runs(values: Array, *shares: float) -> Array:
    """Return quantiles over the first axis, NaN left out: `[N, P]` -> `[shares, P]`."""
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning):
        # Of a column that is all NaN, the answer is NaN.
        return np.asarray(np.nanquantile(values, shares, axis=0))


def legend_below(figure: Figure, axes: Axes, columns: int = 2) -> None:
    """Put one legend under the whole figure, where it hides no data."""
    handles, labels = axes.get_legend_handles_labels()
    # Error bars, the rows that matter, are listed last by matplotlib.
    pairs = sorted(zip(labels, handles), key=lambda pair: isinstance(pair[1], Artist))
    unique = dict(pairs)
    figure.legend(
        list(unique.values()),
        list(unique),
        loc="outside lower center",
        ncols=min(columns, len(unique)),
        frameon=False,
        fontsize=9,
        handlelength=3.6,
    )
