"""Which cells a set has."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import l2o
from l2o.benchmarks.hostile.cell import PLAIN, Cell
from l2o.benchmarks.hostile.images import SHAPES
from l2o.benchmarks.hostile.loop import FIXED_GROUPS, drives
from l2o.benchmarks.hostile.networks import NETWORKS
from l2o.benchmarks.hostile.optimizers import CANDIDATES, OPTIMIZERS, base_lr
from l2o.benchmarks.hostile.schedules import SCHEDULES

TUNING_SEED = 100
"""No seed of a run that is judged."""
LARGE = ("efficientnet_lite0",)
"""Networks on which only the warm-up is tried in both orders, for the time they take."""


@dataclass(frozen=True)
class Choice:
    """What is asked for; an empty tuple stands for everything there is.

    Attributes:
        policies: shipped policies.
        schedules: names of schedules.
        optimizers: names of optimizers.
        networks: names of networks.
        orders: "before" and "after": when the user makes the scheduler.
        steps: of every run; None takes the network's.
        seeds: runs of each kind.
    """

    policies: tuple[str, ...] = ()
    schedules: tuple[str, ...] = ()
    optimizers: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    orders: tuple[str, ...] = ("before", "after")
    steps: int | None = None
    seeds: int = 1


QUICK = Choice(
    policies=("asg-base", "asg-lite", "asg-wide"),
    schedules=("warm_up", "one_cycle"),
    optimizers=("SGD", "AdamW"),
    orders=("before",),
)
"""What `--quick` runs, where nothing else is asked for."""


def plan_loop(choice: Choice) -> list[Cell]:
    """Return the cells of the training loop, the plain run first of each setting."""
    cells = []
    for network in choice.networks or tuple(NETWORKS):
        policies = _drivers(network, choice.policies or tuple(l2o.list_policies()))
        for plain in _plain_cells(network, choice):
            cells.append(plain)
            cells += [
                replace(plain, policy=policy, order=order, told=plain.steps)
                for policy in policies
                for order in _orders(plain, choice.orders)
            ]
    return cells


def plan_tuning(choice: Choice) -> list[Cell]:
    """Return plain runs at every candidate of the base learning rate."""
    asked = replace(choice, schedules=("constant",), seeds=1)
    return [
        replace(plain, lr=lr, seed=TUNING_SEED)
        for network in choice.networks or tuple(NETWORKS)
        for plain in _plain_cells(network, asked)
        for lr in CANDIDATES[plain.optimizer]
    ]


def _plain_cells(network: str, choice: Choice) -> Iterator[Cell]:
    for seed in range(choice.seeds):
        for optimizer in choice.optimizers or tuple(OPTIMIZERS):
            for schedule in choice.schedules or tuple(SCHEDULES):
                yield Cell(
                    network=network,
                    optimizer=optimizer,
                    lr=base_lr(network, optimizer),
                    schedule=schedule,
                    steps=choice.steps or NETWORKS[network].steps,
                    seed=seed,
                    policy=PLAIN,
                )


def _orders(plain: Cell, orders: Sequence[str]) -> Sequence[str]:
    if plain.schedule == "constant" or (plain.network in LARGE and plain.schedule != "warm_up"):
        return orders[:1]
    return orders


def _drivers(network: str, policies: Sequence[str]) -> list[str]:
    """Return the policies that can drive a network; say which cannot."""
    model = NETWORKS[network].make(len(SHAPES))
    steps = NETWORKS[network].steps
    able = []
    for name in policies:
        policy = l2o.load_policy(name)
        if any(drives(policy, model, steps, most) for most in (None, FIXED_GROUPS)):
            able.append(name)
        else:
            logging.getLogger(__name__).warning("%s cannot drive %s: left out", name, network)
    return able
