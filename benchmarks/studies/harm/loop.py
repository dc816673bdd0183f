"""A user's training loop, with a policy plugged in or without; which of its cells there are."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim.lr_scheduler import ReduceLROnPlateau

import l2o
from l2o.benchmarks.studies.harm.cell import Cell, Choice, Record, Scores, make_record, make_scores
from l2o.benchmarks.studies.harm.images import SHAPES, drawn
from l2o.benchmarks.studies.harm.networks import NETWORKS, Network, images_for, train_mode
from l2o.benchmarks.studies.harm.optimizers import BASE_LRS, CANDIDATES, OPTIMIZERS, SCHEDULES
from l2o.benchmarks.studies.harm.plugging import accuracy, acted, control, drivers, take_steps
from l2o.benchmarks.studies.harm.pretraining import with_new_head

BATCH = 16
TRAINING, VALIDATION, TARGET = 320, 128, 192
PLATEAU_EVERY = 10
"""Steps between two validation losses, for the schedule that asks for them."""
PLATEAU_IMAGES = 32
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
    steps = choice.steps or NETWORKS[network].steps
    for seed in range(choice.seeds):
        for optimizer in choice.optimizers or OPTIMIZERS:
            for schedule in choice.schedules or SCHEDULES:
                lr = BASE_LRS[network][optimizer]
                yield Cell(network, optimizer, lr, schedule, steps, seed)


def _orders(plain: Cell, orders: tuple[str, ...]) -> tuple[str, ...]:
    if plain.schedule == "constant" or (plain.network in LARGE and plain.schedule != "warm_up"):
        return orders[:1]
    return orders


def run_loop(cell: Cell) -> Record:
    """Fine-tune one network and score it."""
    begun = time.process_time()
    network = NETWORKS[cell.network]
    model = with_new_head(cell.network, cell.seed)
    losses, controller = fine_tune(cell, network, model)
    scores = score(network, model)
    return make_record(cell, losses, scores, acted(controller), time.process_time() - begun)


def fine_tune(
    cell: Cell, network: Network, model: nn.Module
) -> tuple[list[float], l2o.LRController | None]:
    """Fine-tune a model in place; return the loss of every step, and the controller."""
    images, labels = _split(network, "flat", TRAINING, seed=1)
    optimizer = OPTIMIZERS[cell.optimizer](model.parameters(), lr=cell.lr)
    make_schedule = SCHEDULES[cell.schedule]
    schedule = None if cell.order == "after" else make_schedule(optimizer, cell.steps)
    controller = control(cell, optimizer, model)
    if cell.order == "after":
        schedule = make_schedule(optimizer, cell.steps)
    generator = torch.Generator().manual_seed(cell.seed)
    train_mode(network, model)

    def next_loss() -> Tensor:
        batch = torch.randint(0, len(labels), (BATCH,), generator=generator)
        return cross_entropy(model(images[batch]), labels[batch])

    def after(step: int) -> None:
        if isinstance(schedule, ReduceLROnPlateau):
            if step % PLATEAU_EVERY == 0:
                schedule.step(_validation_loss(network, model))
        elif schedule is not None:
            schedule.step()

    return take_steps(cell.steps, next_loss, optimizer, controller, after), controller


def score(network: Network, model: nn.Module) -> Scores:
    """Return the accuracies on new source images and on the target."""
    source = _accuracy(model, *_split(network, "flat", VALIDATION, seed=2))
    target = _accuracy(model, *_split(network, "cluttered", TARGET, seed=3))
    return make_scores(source, target, len(SHAPES), VALIDATION)


def _split(network: Network, style: str, count: int, seed: int) -> tuple[Tensor, Tensor]:
    images, labels = drawn(style, count, seed)
    return images_for(network, images), labels


@torch.no_grad()
def _accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    model.eval()
    return accuracy(torch.cat([model(part) for part in images.split(64)]), labels)


def _validation_loss(network: Network, model: nn.Module) -> float:
    images, labels = _split(network, "flat", VALIDATION, seed=2)
    model.eval()
    with torch.no_grad():
        loss = cross_entropy(model(images[:PLATEAU_IMAGES]), labels[:PLATEAU_IMAGES])
    train_mode(network, model)
    return float(loss)
