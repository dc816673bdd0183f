"""A cell that has a second stage; its first one is run once for all that share it."""

from __future__ import annotations

import json
import time
from collections import OrderedDict
from dataclasses import dataclass, replace
from functools import partial

from l2o.benchmarks.cells.cell import Cell, begin, follow, record_of_run
from l2o.benchmarks.cells.curve import Curve, stops
from l2o.benchmarks.cells.record import Record
from l2o.envs.fine_tuning.adapting.build import add_stage
from l2o.envs.fine_tuning.adapting.staged import STAGES, StagedFineTune, label_free
from l2o.envs.fine_tuning.fine_tune import FineTune
from l2o.intervals import Interval

_MOST = 2
"""First stages that a process holds."""


@dataclass(frozen=True)
class FirstStage:
    """A first stage at its end, with its curve and the seconds that it took."""

    run: FineTune
    curve: Curve
    seconds: float


_HELD: OrderedDict[str, FirstStage] = OrderedDict()


def first_stage(cell: Cell) -> FirstStage:
    """Return the first stage of a cell, trained to its end; the last ones are held."""
    alone = replace(cell, adaptation=None)
    if alone.id not in _HELD:
        began = time.perf_counter()
        run = begin(alone)
        curve = Curve(stops(run.steps, cell.evaluations, run.interval))
        follow(run, curve, partial(label_free, run))
        _HELD[alone.id] = FirstStage(run, curve, time.perf_counter() - began)
        while len(_HELD) > _MOST:
            _HELD.popitem(last=False)
    _HELD.move_to_end(alone.id)
    return _HELD[alone.id]


def begin_stages(cell: Cell, first: FirstStage) -> StagedFineTune:
    """Return both stages, at the end of the first."""
    assert cell.adaptation is not None
    return add_stage(
        first.run,
        cell.adaptation,
        finetuning=cell.finetuning,
        choice=cell.choice,
        base_lr=cell.rate(first.run.task.base_lr),
        run=cell.run,
        guard=cell.guard,
        grouping=None if cell.groups is None else json.loads(cell.groups),
    )


def measure_stages(cell: Cell, began: float) -> Record:
    """Run both stages of a cell, and measure on the way and at the end."""
    held = len(_HELD) and replace(cell, adaptation=None).id in _HELD
    first = first_stage(cell)
    run = begin_stages(cell, first)
    curve = Curve(stage_stops(run.lengths, cell.evaluations, run.interval))
    curve.go_on(first.run.step, first.run.diverged, first.curve.points, first.curve.state())
    follow(run, curve, run.label_free_scores)
    factor, layers = run.factor, len(run.controller.groups)
    decided = [
        (step, [m * factor(step) for m in of[:layers]] + of[layers:]) for step, of in run.history()
    ]
    return record_of_run(
        cell,
        run,
        curve,
        decided=decided,
        terms=list(first.run.controller.guidance.terms),
        stages=dict(zip(STAGES, (0, run.lengths[0]), strict=True)),
        seconds=time.perf_counter() - began + (first.seconds if held else 0.0),
    )


def stage_stops(lengths: tuple[int, int], evaluations: int, interval: Interval | int) -> list[int]:
    """Return the steps at which the curve of two stages is measured: as many in each.

    Example:
        >>> stage_stops((20, 10), 2, 5)
        [10, 20, 25, 30]
    """
    first, second = lengths
    later = [first + step for step in stops(second, evaluations, interval)]
    return stops(first, evaluations, interval) + later
