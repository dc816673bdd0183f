"""`spike.png`: what the policy does after a spike in the loss, against the same run without."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from l2o.benchmarks.cells.record import finite
from l2o.benchmarks.report.figures.style import INK, log_axis, new_figure, progress_axis, tidy
from l2o.benchmarks.studies.portrait.layers import (
    HEAD,
    backbone_colour,
    draw_held,
    log_multipliers,
    parts,
    percent,
    task_title,
)
from l2o.benchmarks.studies.portrait.results import Record

RECOVERED = 1.1
"""A loss is recovered when it is within this factor of the undisturbed run's."""
_DASHES: Any = (0, (4, 1.5))
_COLOURS = {"head": HEAD, "backbone": backbone_colour(0.2)}


def describe_spike(plain: Record, spiked: Record) -> Record:
    """Return what the spike did to one fine-tune.

    Returns:
        `loss_before` and `loss_after`: means of the windows before and after the noise;
        `recovered_after`: optimizer steps until a window's loss is within `RECOVERED` times that of
        the undisturbed run, null if never; for head and backbone, the mean log10 ratio of the
        multipliers to the undisturbed run's, at the first decision that sees the spike and over all
        from then on; both target accuracies.
    """
    at = spiked["spike"]["step"]
    found: Record = {
        "family": plain["family"],
        "task_seed": plain["task_seed"],
        "step": at,
        "accuracy_without": plain["target_accuracy"],
        "accuracy_with": spiked["target_accuracy"],
        "diverged": spiked["diverged"],
    }
    if at is None:  # diverged before
        return found
    steps, losses = spiked["loss"]["step"], spiked["loss"]["value"]
    first = int(np.searchsorted(steps, at, side="right"))
    found["loss_before"] = losses[first - 1] if first else None
    found["loss_after"] = losses[first]
    found["recovered_after"] = _recovered(plain, spiked, first)
    return found | {"log10_change": _changes(plain, spiked, at)}


def _recovered(plain: Record, spiked: Record, first: int) -> int | None:
    at = spiked["spike"]["step"]
    pairs = zip(spiked["loss"]["step"], spiked["loss"]["value"], plain["loss"]["value"])
    for step, loss, undisturbed in list(pairs)[first:]:
        if None not in (loss, undisturbed) and loss <= RECOVERED * undisturbed:
            return int(step - at)
    return None


def _changes(plain: Record, spiked: Record, at: int) -> Record:
    """Return the change of log10 multipliers of head and backbone."""
    one, other = (parts(record, log_multipliers(record)) for record in (spiked, plain))
    both = min(len(one["head"]), len(other["head"]))
    seeing = np.array(spiked["learning_rates"]["step"][:both]) > at
    found = {}
    for name in one:
        gaps = (one[name][:both] - other[name][:both])[seeing]
        known = gaps[~np.isnan(gaps)]
        found[name] = {
            "first": finite(gaps[0], 4) if len(gaps) else None,
            "mean": finite(known.mean(), 4) if len(known) else None,
        }
    return found


def draw_spike(pairs: Sequence[tuple[Record, Record]]) -> Figure:
    """Draw loss above multipliers, a column per task, with the spike and (dashed) without."""
    figure = new_figure(max(5.0, 2.7 * len(pairs) + 0.6), 5.4)
    grid: Any = figure.subplots(2, len(pairs), sharex=True, sharey="row", squeeze=False)
    for (plain, spiked), (above, below) in zip(pairs, grid.T):
        for record, dashes in ((plain, _DASHES), (spiked, "-")):
            _draw_loss(above, record, dashes)
            _draw_parts(below, record, dashes)
        for axes in (above, below):
            if spiked["spike"]["step"] is not None:
                at = spiked["spike"]["step"] / spiked["steps"]
                axes.axvline(at, color="#777777", linewidth=1, linestyle=":")
            tidy(axes)
        outcome = (
            f"{percent(spiked['target_accuracy'])}, without {percent(plain['target_accuracy'])}"
        )
        above.set_title(f"{task_title(plain)}\n{outcome}", fontsize=8)
        progress_axis(below)
    for axes, label in zip(grid[:, 0], ("training loss", "multiplier")):
        log_axis(axes)
        axes.set_ylabel(label)
    figure.legend(handles=_legend(), loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    return figure


def _draw_loss(axes: Axes, record: Record, dashes: Any) -> None:
    # Each value is the mean of a window: it is drawn over all of it.
    edges = np.array([0, *record["loss"]["step"]]) / record["steps"]
    values = np.array(record["loss"]["value"], dtype=np.float64)
    axes.stairs(values, edges, baseline=None, color=INK, linestyle=dashes, linewidth=1.6)


def _draw_parts(axes: Axes, record: Record, dashes: Any) -> None:
    for name, logs in parts(record, log_multipliers(record)).items():
        if len(logs):
            draw_held(axes, record, logs, color=_COLOURS[name], linestyle=dashes, linewidth=1.8)


def _legend() -> list[Line2D]:
    handles = [Line2D([], [], color=INK, label="loss")]
    for name, label in (("head", "head"), ("backbone", "backbone, geometric mean")):
        handles.append(Line2D([], [], color=_COLOURS[name], linewidth=1.8, label=label))
    styles: tuple[tuple[Any, str], ...] = (("-", "with noise on the weights"), (_DASHES, "without"))
    for dashes, label in styles:
        handles.append(Line2D([], [], color="#777777", linestyle=dashes, label=label))
    return handles
