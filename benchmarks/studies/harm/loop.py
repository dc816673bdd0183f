"""A user's training loop, with a policy plugged in or without; which of its cells there are."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim.lr_scheduler import ReduceLROnPlateau

from l2o.benchmarks.studies.harm.base import QUICK_POLICIES, Choice, Ran, Set
from l2o.benchmarks.studies.harm.cell import Cell, make_scores
from l2o.benchmarks.studies.harm.images import SHAPES, drawn
from l2o.benchmarks.studies.harm.networks import NETWORKS, Network, images_for, train_mode
from l2o.benchmarks.studies.harm.optimizers import BASE_LRS, CANDIDATES, OPTIMIZERS, SCHEDULES
from l2o.benchmarks.studies.harm.plugging import accuracy, control, take_steps
from l2o.benchmarks.studies.harm.pretraining import with_new_head
from l2o.configs.schema import Options

BATCH = 16
TRAINING, VALIDATION, TARGET = 320, 128, 192
PLATEAU_EVERY = 10
"""Steps between two validation losses, for the schedule that asks for them."""
PLATEAU_IMAGES = 32
LARGE = ("efficientnet_lite0",)
"""Networks on which only the warm-up is tried in both orders, for the time they take."""


def fine_tune(cell: Cell) -> Ran:
    """Fine-tune one pretrained network and score it."""
    network = NETWORKS[cell.network]
    model = with_new_head(cell.network, cell.seed)
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

    losses = take_steps(cell.steps, next_loss, optimizer, controller, after)
    source = _accuracy(model, *_split(network, "flat", VALIDATION, seed=2))
    target = _accuracy(model, *_split(network, "cluttered", TARGET, seed=3))
    return losses, controller, make_scores(source, target, len(SHAPES), VALIDATION)


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


def _orders(plain: Cell, choice: Choice) -> list[Options]:
    large = plain.network in LARGE and plain.schedule != "warm_up"
    orders = choice.orders[:1] if large or plain.schedule == "constant" else choice.orders
    return [{"order": order, "told": plain.steps} for order in orders]


LOOP = Set(
    networks=NETWORKS,
    optimizers=OPTIMIZERS,
    schedules=SCHEDULES,
    bound=2.0,
    quick=Choice(
        policies=QUICK_POLICIES,
        networks=("mlp", "bn_resnet", "vit"),
        schedules=("warm_up", "constant"),
        optimizers=("SGD", "AdamW"),
        orders=("before",),
    ),
    model=lambda network: NETWORKS[network].make(len(SHAPES)),
    steps=lambda network: NETWORKS[network].steps,
    lrs=lambda network, optimizer: (BASE_LRS[network][optimizer],),
    fine_tune=fine_tune,
    ways=_orders,
)
TUNE = replace(
    LOOP,
    schedules=("constant",),
    bound=None,
    quick=Choice(),
    lrs=lambda network, optimizer: CANDIDATES[optimizer],
    first_seed=100,
)
"""How base learning rates are chosen, on seeds that no run which is judged has."""
