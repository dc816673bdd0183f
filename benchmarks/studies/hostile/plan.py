"""Which cells the training loop has, and the choice of its base learning rates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from l2o.benchmarks.studies.hostile.cell import Cell
from l2o.benchmarks.studies.hostile.choice import Choice
from l2o.benchmarks.studies.hostile.images import SHAPES
from l2o.benchmarks.studies.hostile.networks import NETWORKS
from l2o.benchmarks.studies.hostile.optimizers import BASE_LRS, CANDIDATES, OPTIMIZERS
from l2o.benchmarks.studies.hostile.plugging import drivers
from l2o.benchmarks.studies.hostile.schedules import SCHEDULES

TUNING_SEED = 100
"""The first of the seeds that base learning rates are chosen on; no run that is judged has it."""
LARGE = ("efficientnet_lite0",)
"""Networks on which only the warm-up is tried in both orders, for the time they take."""


def plan_loop(choice: Choice) -> list[Cell]:
    """Return the cells of the training loop, the plain run first of each setting."""
    cells = []
    for network in choice.networks or NETWORKS:
        model = NETWORKS[network].make(len(SHAPES))
        policies = drivers(choice.policies, network, model, NETWORKS[network].steps)
        for plain in _plain_cells(network, choice):
            cells.append(plain)
            cells += [
                replace(plain, policy=policy, order=order, told=plain.steps)
                for policy in policies
                for order in _orders(plain, choice.orders)
            ]
    return cells


def plan_tuning(choice: Choice) -> list[Cell]:
    """Return plain runs at a constant rate, at every candidate of the base learning rate."""
    return [
        replace(plain, lr=lr, seed=TUNING_SEED + plain.seed)
        for network in choice.networks or NETWORKS
        for plain in _plain_cells(network, replace(choice, schedules=("constant",)))
        for lr in CANDIDATES[plain.optimizer]
    ]


def _plain_cells(network: str, choice: Choice) -> Iterator[Cell]:
    for seed in range(choice.seeds):
        for optimizer in choice.optimizers or OPTIMIZERS:
            for schedule in choice.schedules or SCHEDULES:
                yield Cell(
                    network=network,
                    optimizer=optimizer,
                    lr=BASE_LRS[network][optimizer],
                    schedule=schedule,
                    steps=choice.steps or NETWORKS[network].steps,
                    seed=seed,
                )


def _orders(plain: Cell, orders: tuple[str, ...]) -> tuple[str, ...]:
    if plain.schedule == "constant" or (plain.network in LARGE and plain.schedule != "warm_up"):
        return orders[:1]
    return orders
