"""`base_lr.png`: whether the policy corrects a base learning rate that is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from l2o.benchmarks.cells.record import finite
from l2o.benchmarks.report.factors import show_factor
from l2o.benchmarks.report.figures.style import (
    INK,
    LOOKS,
    legend_below,
    log_axis,
    new_figure,
    progress_axis,
    tidy,
)
from l2o.benchmarks.statistics import Array
from l2o.benchmarks.studies.portrait.layers import (
    draw_held,
    log_multipliers,
    parts,
    percent,
    task_title,
)
from l2o.benchmarks.studies.portrait.results import Record

FACTORS = (0.01, 1.0, 100.0)
_LOOKS = {0.01: (LOOKS[0][0], (0, (4, 1.5))), 1.0: (INK, "-"), 100.0: (LOOKS[1][0], (0, (1, 1)))}
_PARTS = ("head", "backbone")


def log_rates(record: Record) -> Array:
    """Return log10 of the effective learning rates, base LR × multiplier: `[decisions, groups]`."""
    return log_multipliers(record) + np.log10(record["learning_rates"]["base_lr"])


def leftover(record: Record, reference: Record) -> float | None:
    """Return how much of a wrong base LR is left in the learning rates, in decades.

    The mean of |log10(rate / rate at the right base LR)| over layer groups and the decisions that
    both fine-tunes came to: 0 is full correction, |log10(factor)| is none.
    """
    one, other = log_rates(record), log_rates(reference)
    both = min(len(one), len(other))
    gaps = np.abs(one[:both] - other[:both])
    return finite(float(np.nanmean(gaps)), 4) if (~np.isnan(gaps)).any() else None


def compare_factors(tasks: Sequence[Sequence[Record]]) -> list[Record]:
    """Return, for each task, accuracy and leftover at every factor.

    Args:
        tasks: of each task, the fine-tunes at `FACTORS`.
    """
    found = []
    for records in tasks:
        reference = records[FACTORS.index(1.0)]
        found.append(
            {
                "family": reference["family"],
                "task_seed": reference["task_seed"],
                "by_factor": [
                    {
                        "factor": record["base_lr_factor"],
                        "target_accuracy": record["target_accuracy"],
                        "diverged": record["diverged"],
                        "decades_left": leftover(record, reference),
                        "decades_given": finite(abs(np.log10(record["base_lr_factor"]))),
                    }
                    for record in records
                ],
            }
        )
    return found


def draw_base_lr(tasks: Sequence[Sequence[Record]]) -> Figure:
    """Draw effective learning rates, a column per task: its head above, its backbone below.

    Thin lines are layer groups, the thick one is the backbone's geometric mean.
    """
    figure = new_figure(max(5.0, 2.7 * len(tasks) + 0.6), 5.4)
    grid: Any = figure.subplots(2, len(tasks), sharex=True, sharey="col", squeeze=False)
    for column, records in enumerate(tasks):
        for part, axes in zip(_PARTS, grid[:, column]):
            for record in records:
                _draw_part(axes, record, part)
            tidy(axes)
        log_axis(grid[0, column])
        accuracies = " / ".join(percent(r["target_accuracy"]).removesuffix(" %") for r in records)
        grid[0, column].set_title(f"{task_title(records[0])}\n{accuracies} %", fontsize=8)
        progress_axis(grid[1, column])
    for part, axes in zip(_PARTS, grid[:, 0]):
        axes.set_ylabel(f"learning rate, {part}")
    legend_below(figure, grid[0, 0], columns=3)
    return figure


def _draw_part(axes: Axes, record: Record, part: str) -> None:
    rates = log_rates(record)
    if not len(rates):
        return
    factor = record["base_lr_factor"]
    colour, dashes = _LOOKS[factor]
    for index, head in enumerate(record["heads"]):
        if not head and part == "backbone":
            draw_held(axes, record, rates[:, index], color=colour, linewidth=0.6, alpha=0.5)
    mean = parts(record, rates).get(part)
    if mean is not None:
        label = f"base LR × {show_factor(factor)}"
        look = {"color": colour, "linestyle": dashes, "linewidth": 2.2, "label": label}
        draw_held(axes, record, mean, **look)
