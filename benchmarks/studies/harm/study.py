"""The study and its sets of cells: what is run, and what it is held to."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import l2o
from l2o.benchmarks.cells.machine import machine_facts
from l2o.benchmarks.report.tables import Table
from l2o.benchmarks.studies.base import KeptStudy
from l2o.benchmarks.studies.harm.cell import Cell, Choice, Record, names_of
from l2o.benchmarks.studies.harm.loop import plan_loop, plan_tuning, run_loop
from l2o.benchmarks.studies.harm.networks import NETWORKS
from l2o.benchmarks.studies.harm.optimizers import OPTIMIZERS, SCHEDULES
from l2o.benchmarks.studies.harm.start import (
    HEADS,
    LENGTHS,
    START_OPTIMIZERS,
    plan_start,
    run_start,
)
from l2o.benchmarks.studies.harm.summary import (
    Summary,
    claims_table,
    harm_table,
    policy_table,
    summarise,
    tuning_table,
    worst_table,
)
from l2o.benchmarks.studies.harm.trainer import TRAINER_SCHEDULES, plan_trainer, run_trainer
from l2o.benchmarks.studies.options import Json, Quick, Workers, count, names, text
from l2o.registry import lookup

QUICK_POLICIES = ("asg-base", "asg-lite", "asg-wide")
NAMED = ("networks", "optimizers", "schedules")


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
_START_QUICK = Choice(
    policies=QUICK_POLICIES,
    networks=("random-64", "random-2048", "pretrained-64", "pretrained-2048"),
    optimizers=("SGD", "AdamW"),
    schedules=("20", "1000"),
)
_TRAINER_QUICK = Choice(QUICK_POLICIES, schedules=("warmup_steps", "constant", "greedy"))
SETS: dict[str, Set] = {
    "loop": Set(plan_loop, run_loop, NETWORKS, OPTIMIZERS, SCHEDULES, 2.0, _LOOP_QUICK),
    "start": Set(plan_start, run_start, HEADS, START_OPTIMIZERS, LENGTHS, 1.5, _START_QUICK),
    "trainer": Set(
        *(plan_trainer, run_trainer, ("bert",), ("AdamW",), TRAINER_SCHEDULES, 2.0, _TRAINER_QUICK)
    ),
    "tune": Set(plan_tuning, run_loop, NETWORKS, OPTIMIZERS, ("constant",), None, Choice()),
}
"""Name -> set; `tune` is how the base learning rates of `loop` were chosen."""

_Some = Annotated[tuple[str, ...], names("Some of the set's; all if not given.")]


@dataclass(frozen=True)
class Answer:
    """The runs of a set, and what they say; None where nothing is claimed."""

    set: str
    machine: Mapping[str, object]
    summary: Summary | None
    cells: Sequence[Record]


_ONE_OF = f"One of {', '.join(SETS)}."


@dataclass(frozen=True, kw_only=True)
class Harm(KeptStudy[Cell, Record, Answer]):
    """Does a policy, plugged into a real training loop, ever do harm?

    Each run under a policy is compared with the plain run of the same setting, without a
    controller. Sets: `loop` is a user's own loop (networks x optimizers x schedules), `start` the
    first 50 steps under heads of all widths, `trainer` Hugging Face's Trainer; `tune` is how the
    base learning rates of `loop` were chosen.
    """

    examples = (
        "l2o study harm --workers 2 --out runs/harm --json harm.json",
        "l2o study harm --set start --quick",
    )
    record: ClassVar[type[Record]] = Record
    set: Annotated[str, text(_ONE_OF)] = "loop"
    policies: Annotated[tuple[str, ...], names("All that ship if not given.")] = ()
    networks: _Some = ()
    optimizers: _Some = ()
    schedules: _Some = ()
    steps: Annotated[int | None, count("Of every run.")] = None
    seeds: Annotated[int, count("Runs of each kind.")] = 1
    workers: Workers = 2
    json: Json = None
    quick: Quick = False

    def plan(self) -> list[Cell]:
        """Return the cells that are asked for.

        Raises:
            ValueError: a name that the set, or the policies that ship, do not have.
            ImportError: a network needs what is not installed.
        """
        chosen = lookup("set", SETS, self.set)
        for kind in NAMED:
            for name in getattr(self, kind):
                lookup(kind.removesuffix("s"), dict.fromkeys(getattr(chosen, kind)), name)
        for name in self.policies:
            l2o.load_policy(name)
        asked = {name: getattr(self, name) for name in ("policies", *NAMED) if getattr(self, name)}
        base = chosen.quick if self.quick else Choice()
        return chosen.plan(replace(base, **asked, steps=self.steps, seeds=self.seeds))

    def run(self, piece: Cell) -> Record:
        """Run a cell; a failure is a record, too: a policy that raises has done harm."""
        try:
            return SETS[self.set].run(piece)
        except Exception as error:
            return Record(**names_of(piece), error=f"{type(error).__name__}: {error}")

    def is_whole(self, found: Record) -> bool:
        """Tell whether a run that was kept did not fail."""
        return not found.error

    def summarise(self, found: Sequence[Record]) -> Answer:
        """Hold the runs to what the set claims."""
        bound = SETS[self.set].bound
        summary = None if bound is None else summarise(found, bound)
        return Answer(self.set, machine_facts(self.workers), summary, found)

    def tables(self, answer: Answer) -> list[Table]:
        """Return what the runs say."""
        if (summary := answer.summary) is None:
            return [tuning_table(answer.cells)]
        shown = [policy_table(summary), worst_table(summary), claims_table(summary)]
        return shown + [harm_table(summary)] * bool(summary.harmed)

    def failures(self, answer: Answer) -> list[Mapping[str, str]]:
        """Return the runs that raised."""
        return [vars(each) for each in answer.summary.failures] if answer.summary else []
