"""The sets of cells: what is run, and what it is held to."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from l2o.benchmarks.studies.hostile.cell import Cell, Record
from l2o.benchmarks.studies.hostile.choice import Choice
from l2o.benchmarks.studies.hostile.loop import run_loop
from l2o.benchmarks.studies.hostile.networks import NETWORKS
from l2o.benchmarks.studies.hostile.optimizers import OPTIMIZERS
from l2o.benchmarks.studies.hostile.plan import plan_loop, plan_tuning
from l2o.benchmarks.studies.hostile.schedules import SCHEDULES
from l2o.benchmarks.studies.hostile.start import (
    HEADS,
    LENGTHS,
    START_OPTIMIZERS,
    plan_start,
    run_start,
)
from l2o.benchmarks.studies.hostile.trainer import TRAINER_SCHEDULES, plan_trainer, run_trainer

QUICK_POLICIES = ("asg-base", "asg-lite", "asg-wide")


@dataclass(frozen=True)
class Set:
    """A set of cells.

    Attributes:
        plan: a choice -> cells.
        run: a cell -> its record.
        networks: names that a choice may hold; so `optimizers` and `schedules`.
        bound: how many times the plain run's worst loss a run may reach; None: nothing is claimed.
        quick: what `--quick` runs, where nothing else is asked for.
    """

    plan: Callable[[Choice], list[Cell]]
    run: Callable[[Cell], Record]
    networks: Collection[str]
    optimizers: Collection[str]
    schedules: Collection[str]
    bound: float | None
    quick: Choice


_LOOP_QUICK = Choice(
    policies=QUICK_POLICIES,
    networks=("mlp", "bn_resnet", "vit"),
    schedules=("warm_up", "constant"),
    optimizers=("SGD", "AdamW"),
    orders=("before",),
)
SETS: dict[str, Set] = {
    "loop": Set(plan_loop, run_loop, NETWORKS, OPTIMIZERS, SCHEDULES, 2.0, _LOOP_QUICK),
    "start": Set(
        plan_start,
        run_start,
        HEADS,
        START_OPTIMIZERS,
        LENGTHS,
        bound=1.5,
        quick=Choice(
            policies=QUICK_POLICIES,
            networks=("random-64", "random-2048", "pretrained-64", "pretrained-2048"),
            optimizers=("SGD", "AdamW"),
            schedules=("20", "1000"),
        ),
    ),
    "trainer": Set(
        plan_trainer,
        run_trainer,
        ("bert",),
        ("AdamW",),
        TRAINER_SCHEDULES,
        bound=2.0,
        quick=Choice(policies=QUICK_POLICIES, schedules=("warmup_steps", "constant", "greedy")),
    ),
    "tune": Set(plan_tuning, run_loop, NETWORKS, OPTIMIZERS, ("constant",), None, Choice()),
}
"""Name -> set; `tune` is how the base learning rates of `loop` were chosen."""
