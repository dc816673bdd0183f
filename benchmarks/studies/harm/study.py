"""The study and its sets of cells: what is run, and what it is held to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import l2o
from l2o.benchmarks.cells.machine import machine_facts
from l2o.benchmarks.report.tables import Table
from l2o.benchmarks.studies.base import KeptStudy
from l2o.benchmarks.studies.harm import summary
from l2o.benchmarks.studies.harm.base import Choice, Set
from l2o.benchmarks.studies.harm.cell import Cell, Record
from l2o.benchmarks.studies.harm.loop import LOOP, TUNE
from l2o.benchmarks.studies.harm.start import START
from l2o.benchmarks.studies.harm.trainer import TRAINER
from l2o.benchmarks.studies.options import Json, Quick, Workers, count, names, text
from l2o.registry import lookup

NAMED = ("networks", "optimizers", "schedules")
SETS: dict[str, Set] = {"loop": LOOP, "start": START, "trainer": TRAINER, "tune": TUNE}
"""Name -> set; `tune` is how the base learning rates of `loop` were chosen."""

_Set = Annotated[str, text(f"One of {', '.join(SETS)}.")]
_Some = Annotated[tuple[str, ...], names("Some of the set's; all if not given.")]


@dataclass(frozen=True)
class Answer:
    """The runs of a set, and what they say; None where nothing is claimed."""

    set: str
    machine: Mapping[str, object]
    summary: summary.Summary | None
    cells: Sequence[Record]


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
    set: _Set = "loop"
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
            return Record.of(piece, error=f"{type(error).__name__}: {error}")

    def summarise(self, found: Sequence[Record]) -> Answer:
        """Hold the runs to what the set claims."""
        bound = SETS[self.set].bound
        told = None if bound is None else summary.summarise(found, bound)
        return Answer(self.set, machine_facts(self.workers), told, found)

    def tables(self, answer: Answer) -> list[Table]:
        """Return what the runs say."""
        if answer.summary is None:
            return [summary.tuning_table(answer.cells)]
        return summary.tables(answer.summary)

    def failures(self, answer: Answer) -> Sequence[Mapping[str, str]]:
        """Return the runs that raised."""
        return answer.summary.failures if answer.summary else ()
