"""A set of cells: which runs there are, plain ones and those under policies; one run."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from torch import nn

import l2o
from l2o.benchmarks.studies.harm.cell import Cell, Record, Scores, make_record
from l2o.benchmarks.studies.harm.plugging import drivers
from l2o.configs.schema import Options

QUICK_POLICIES = ("asg-base", "asg-lite", "asg-wide")
Ran = tuple[Sequence[float], l2o.LRController | None, Scores]
"""The loss of every step, the controller, and what the network scores."""


@dataclass(frozen=True)
class Choice:
    """A part of a set; an empty tuple stands for everything there is.

    Attributes:
        policies: shipped policies.
        networks: names of networks.
        optimizers: names of optimizers.
        schedules: names of schedules.
        orders: "before" and "after": when the user makes the scheduler.
        steps: of every run; None takes the network's.
        seeds: runs of each kind.
    """

    policies: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    optimizers: tuple[str, ...] = ()
    schedules: tuple[str, ...] = ()
    orders: tuple[str, ...] = ("before", "after")
    steps: int | None = None
    seeds: int = 1


@dataclass(frozen=True, kw_only=True)
class Set:
    """A set of cells: plain runs, and those under policies.

    Attributes:
        networks: names that a choice may hold; so `optimizers` and `schedules`.
        bound: how many times the plain run's worst loss a run may reach; None: nothing is claimed,
            and no policy is run.
        quick: what `--quick` runs, where nothing else is asked for.
        model: name of a network -> one like it, to see which policies can drive it.
        steps: name of a network -> steps of a run, unless told otherwise.
        lrs: names of network and optimizer -> base learning rates.
        fine_tune: trains and scores.
        ways: in which ways the runs of a policy differ from a plain run.
        plain_schedule: of plain runs, where schedules are the policies' alone.
        first_seed: of the cells.
    """

    networks: Collection[str]
    optimizers: Collection[str]
    schedules: Collection[str]
    bound: float | None
    quick: Choice
    model: Callable[[str], nn.Module]
    steps: Callable[[str], int]
    lrs: Callable[[str, str], Sequence[float]]
    fine_tune: Callable[[Cell], Ran]
    ways: Callable[[Cell, Choice], list[Options]] = lambda plain, choice: [{"told": plain.steps}]
    plain_schedule: str | None = None
    first_seed: int = 0

    def plan(self, choice: Choice) -> list[Cell]:
        """Return the cells, the plain run first of each setting."""
        cells = []
        for network in choice.networks or self.networks:
            usual, able = self.steps(network), []
            if self.bound is not None:
                able = drivers(choice.policies, network, self.model(network), usual)
            for plain in self._plain(network, choice.steps or usual, choice):
                ways = self.ways(plain, choice)
                cells.append(plain)
                cells += [replace(plain, policy=policy, **way) for policy in able for way in ways]
        return cells

    def _plain(self, network: str, steps: int, choice: Choice) -> Iterator[Cell]:
        schedules = choice.schedules or self.schedules
        for seed in range(self.first_seed, self.first_seed + choice.seeds):
            for optimizer in choice.optimizers or self.optimizers:
                for schedule in (self.plain_schedule,) if self.plain_schedule else schedules:
                    for lr in self.lrs(network, optimizer):
                        yield Cell(network, optimizer, lr, schedule, steps, seed)

    def run(self, cell: Cell) -> Record:
        """Run a cell."""
        begun = time.process_time()
        losses, controller, scores = self.fine_tune(cell)
        acted = controller.report()["interventions"] if controller else {}
        return make_record(cell, losses, scores, acted, time.process_time() - begun)
