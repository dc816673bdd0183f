"""`spike.png`: what the policy does after a spike in the loss, against the same run without."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from l2o.benchmarks.cells.record import finite
from l2o.benchmarks.report.figures.style import INK, log_axis, tidy
from l2o.benchmarks.report.tables import short
from l2o.benchmarks.studies.portrait.drawing import (
    GREY,
    HEAD,
    backbone_colour,
    draw_held,
    legend,
    two_rows,
)
from l2o.benchmarks.studies.portrait.trace import Trace

RECOVERED = 1.1
"""A loss is recovered when it is within this factor of the undisturbed run's."""
_DASHES: Any = (0, (4, 1.5))
_COLOURS = {"head": HEAD, "backbone": backbone_colour(0.2)}


@dataclass(frozen=True)
class Change:
    """Log10 ratio of multipliers to the undisturbed run's.

    At the first decision that sees the spike, and in the mean of all from then on.
    """

    first: float | None
    mean: float | None


@dataclass(frozen=True, kw_only=True)
class SpikeFound:
    """What a spike did to one fine-tune.

    Attributes:
        step: when it came; None where the run diverged before, and nothing else is known.
        loss_before: mean loss of the window before the noise; `loss_after`: of the one after it.
        recovered_after: optimizer steps until a window's loss is within `RECOVERED` times that of
            the undisturbed run; None if never.
        log10_change: of head and backbone.
    """

    family: str
    task_seed: int
    step: int | None
    accuracy_without: float | None
    accuracy_with: float | None
    diverged: bool
    loss_before: float | None = None
    loss_after: float | None = None
    recovered_after: int | None = None
    log10_change: Mapping[str, Change] = field(default_factory=dict)


def describe_spike(plain: Trace, spiked: Trace) -> SpikeFound:
    """Return what the spike did, against the same fine-tune without it."""
    at = spiked.spike.step if spiked.spike else None
    known: dict[str, Any] = {}
    if at is not None:
        losses = spiked.loss.value
        first = int(np.searchsorted(spiked.loss.step, at, side="right"))
        known["loss_before"] = losses[first - 1] if first else None
        known["loss_after"] = losses[first]
        known["recovered_after"] = _recovered(plain, spiked, first, at)
        known["log10_change"] = _changes(plain, spiked, at)
    return SpikeFound(
        family=plain.family,
        task_seed=plain.task_seed,
        step=at,
        accuracy_without=plain.target_accuracy,
        accuracy_with=spiked.target_accuracy,
        diverged=spiked.diverged,
        **known,
    )


def _recovered(plain: Trace, spiked: Trace, first: int, at: int) -> int | None:
    windows = list(zip(spiked.loss.step, spiked.loss.value, plain.loss.value))[first:]
    for step, loss, undisturbed in windows:
        if loss is not None and undisturbed is not None and loss <= RECOVERED * undisturbed:
            return step - at
    return None


def _changes(plain: Trace, spiked: Trace, at: int) -> dict[str, Change]:
    one, other = spiked.parts(spiked.logs), plain.parts(plain.logs)
    both = min(len(one["head"]), len(other["head"]))
    seeing = np.array(spiked.learning_rates.step[:both]) > at
    found = {}
    for name in one:
        gaps = (one[name][:both] - other[name][:both])[seeing]
        known = gaps[~np.isnan(gaps)]
        found[name] = Change(
            finite(gaps[0], 4) if len(gaps) else None,
            finite(known.mean(), 4) if len(known) else None,
        )
    return found


def draw_spike(pairs: Sequence[tuple[Trace, Trace]]) -> Figure:
    """Draw loss above multipliers, a column per task, with the spike and (dashed) without."""
    figure, grid = two_rows(len(pairs), "row")
    for (plain, spiked), (above, below) in zip(pairs, grid.T, strict=True):
        for trace, dashes in ((plain, _DASHES), (spiked, "-")):
            # Each value is the mean of a window: it is drawn over all of it.
            edges = np.array([0, *trace.loss.step]) / trace.steps
            values = np.array(trace.loss.value, dtype=np.float64)
            look = {"color": INK, "linestyle": dashes, "linewidth": 1.6}
            above.stairs(values, edges, baseline=None, **look)
            _draw_parts(below, trace, dashes)
        for axes in (above, below):
            if spiked.spike and spiked.spike.step is not None:
                at = spiked.spike.step / spiked.steps
                axes.axvline(at, color=GREY, linewidth=1, linestyle=":")
            tidy(axes)
        outcome = f"{short(spiked.target_accuracy)} %, without {short(plain.target_accuracy)} %"
        above.set_title(f"{plain.title}\n{outcome}", fontsize=8)
    for axes, label in zip(grid[:, 0], ("training loss", "multiplier"), strict=True):
        log_axis(axes)
        axes.set_ylabel(label)
    looks = {"loss": {"color": INK}, "head": {"color": _COLOURS["head"]}}
    looks |= {"backbone, geometric mean": {"color": _COLOURS["backbone"]}}
    looks |= {"with noise on the weights": {"color": GREY}}
    legend(figure, {**looks, "without": {"color": GREY, "linestyle": _DASHES}}, columns=3)
    return figure


def _draw_parts(axes: Axes, trace: Trace, dashes: Any) -> None:
    for name, logs in trace.parts(trace.logs).items():
        if len(logs):
            draw_held(axes, trace, logs, color=_COLOURS[name], linestyle=dashes, linewidth=1.8)
