"""`base_lr.png`: whether the policy corrects a base learning rate that is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from l2o.benchmarks.cells.record import finite
from l2o.benchmarks.report.factors import show_factor
from l2o.benchmarks.report.figures.style import INK, LOOKS, legend_below, log_axis, tidy
from l2o.benchmarks.report.tables import short
from l2o.benchmarks.studies.portrait.drawing import draw_held, two_rows
from l2o.benchmarks.studies.portrait.trace import Trace

FACTORS = (0.01, 1.0, 100.0)
_LOOKS: dict[float, tuple[str, Any]] = {
    0.01: (LOOKS[0][0], (0, (4, 1.5))),
    1.0: (INK, "-"),
    100.0: (LOOKS[1][0], (0, (1, 1))),
}


@dataclass(frozen=True)
class AtFactor:
    """A fine-tune at one factor; `decades_left` of the `decades_given` are not corrected."""

    factor: float
    target_accuracy: float | None
    diverged: bool
    decades_left: float | None
    decades_given: float


@dataclass(frozen=True)
class Corrected:
    """A task at all factors."""

    family: str
    task_seed: int
    by_factor: Sequence[AtFactor]


def leftover(trace: Trace, reference: Trace) -> float | None:
    """Return how much of a wrong base LR is left in the learning rates, in decades.

    The mean of |log10(rate / rate at the right base LR)| over layer groups and the decisions that
    both fine-tunes came to: 0 is full correction, |log10(factor)| is none.
    """
    one, other = trace.log_rates, reference.log_rates
    both = min(len(one), len(other))
    gaps = np.abs(one[:both] - other[:both])
    return finite(float(np.nanmean(gaps)), 4) if (~np.isnan(gaps)).any() else None


def compare_factors(traces: Sequence[Trace]) -> Corrected:
    """Return accuracy and leftover at every factor, of the fine-tunes of a task at `FACTORS`."""
    right = traces[FACTORS.index(1.0)]
    found = [
        AtFactor(
            factor=trace.base_lr_factor,
            target_accuracy=trace.target_accuracy,
            diverged=trace.diverged,
            decades_left=leftover(trace, right),
            decades_given=round(abs(float(np.log10(trace.base_lr_factor))), 6),
        )
        for trace in traces
    ]
    return Corrected(right.family, right.task_seed, found)


def draw_base_lr(tasks: Sequence[Sequence[Trace]]) -> Figure:
    """Draw effective learning rates, a column per task: its head above, its backbone below.

    Thin lines are layer groups, the thick one is the backbone's geometric mean.
    """
    figure, grid = two_rows(len(tasks), "col")
    for traces, column in zip(tasks, grid.T, strict=True):
        for part, axes in zip(("head", "backbone"), column, strict=True):
            for trace in traces:
                _draw_part(axes, trace, part)
            tidy(axes)
        log_axis(column[0])
        outcome = " / ".join(short(trace.target_accuracy) for trace in traces)
        column[0].set_title(f"{traces[0].title}\n{outcome} %", fontsize=8)
    for part, axes in zip(("head", "backbone"), grid[:, 0], strict=True):
        axes.set_ylabel(f"learning rate, {part}")
    legend_below(figure, grid[0, 0], columns=3)
    return figure


def _draw_part(axes: Axes, trace: Trace, part: str) -> None:
    rates = trace.log_rates
    if not len(rates):
        return
    colour, dashes = _LOOKS[trace.base_lr_factor]
    for index, head in enumerate(trace.heads):
        if not head and part == "backbone":
            draw_held(axes, trace, rates[:, index], color=colour, linewidth=0.6, alpha=0.5)
    if (mean := trace.parts(rates).get(part)) is not None:
        label = f"base LR × {show_factor(trace.base_lr_factor)}"
        look = {"color": colour, "linestyle": dashes, "linewidth": 2.2, "label": label}
        draw_held(axes, trace, mean, **look)
