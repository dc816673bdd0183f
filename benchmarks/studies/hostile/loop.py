"""A user's training loop, with a policy plugged in or without."""

from __future__ import annotations

import time

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim.lr_scheduler import ReduceLROnPlateau

import l2o
from l2o.benchmarks.studies.hostile.cell import Cell, Record, chance_bar, make_record
from l2o.benchmarks.studies.hostile.images import SHAPES, drawn
from l2o.benchmarks.studies.hostile.networks import NETWORKS, Network, images_for, train_mode
from l2o.benchmarks.studies.hostile.optimizers import make_optimizer
from l2o.benchmarks.studies.hostile.plugging import control
from l2o.benchmarks.studies.hostile.pretraining import with_new_head
from l2o.benchmarks.studies.hostile.schedules import SCHEDULES

BATCH = 16
TRAINING, VALIDATION, TARGET = 320, 128, 192
PLATEAU_EVERY = 10
"""Steps between two validation losses, for the schedule that asks for them."""
PLATEAU_IMAGES = 32


def run_loop(cell: Cell) -> Record:
    """Fine-tune one network and score it."""
    begun = time.process_time()
    network = NETWORKS[cell.network]
    model = with_new_head(cell.network, cell.seed)
    losses, controller = fine_tune(cell, network, model)
    told = controller.report()["interventions"] if controller else {}
    return make_record(cell, losses, score(network, model), told, time.process_time() - begun)


def fine_tune(
    cell: Cell, network: Network, model: nn.Module
) -> tuple[list[float], l2o.LRController | None]:
    """Fine-tune a model in place; return the loss of every step, and the controller."""
    images, labels = _split(network, "flat", TRAINING, seed=1)
    optimizer = make_optimizer(cell.optimizer, model.parameters(), cell.lr)
    make_schedule = SCHEDULES[cell.schedule]
    schedule = None if cell.order == "after" else make_schedule(optimizer, cell.steps)
    controller = control(cell, optimizer, model)
    if cell.order == "after":
        schedule = make_schedule(optimizer, cell.steps)
    generator = torch.Generator().manual_seed(cell.seed)
    losses = []
    train_mode(network, model)
    for step in range(1, cell.steps + 1):
        batch = torch.randint(0, len(labels), (BATCH,), generator=generator)
        loss = cross_entropy(model(images[batch]), labels[batch])
        if controller is not None:
            controller.observe(loss=loss)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if isinstance(schedule, ReduceLROnPlateau):
            if step % PLATEAU_EVERY == 0:
                schedule.step(_validation_loss(network, model))
        elif schedule is not None:
            schedule.step()
    return losses, controller


def score(network: Network, model: nn.Module) -> Record:
    """Return the accuracies on new source images and on the target, and whether it is at chance."""
    source = _accuracy(model, *_split(network, "flat", VALIDATION, seed=2))
    bar = chance_bar(len(SHAPES), VALIDATION)
    return {
        "source_accuracy": source,
        "target_accuracy": _accuracy(model, *_split(network, "cluttered", TARGET, seed=3)),
        "chance_bar": bar,
        "at_chance": source <= bar,
    }


def _split(network: Network, style: str, count: int, seed: int) -> tuple[Tensor, Tensor]:
    images, labels = drawn(style, count, seed)
    return images_for(network, images), labels


def _accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    model.eval()
    with torch.no_grad():
        logits = torch.cat([model(part) for part in images.split(64)])
    right = (logits.argmax(dim=1) == labels) & torch.isfinite(logits).all(dim=1)
    return float(right.double().mean())


def _validation_loss(network: Network, model: nn.Module) -> float:
    images, labels = _split(network, "flat", VALIDATION, seed=2)
    model.eval()
    with torch.no_grad():
        loss = cross_entropy(model(images[:PLATEAU_IMAGES]), labels[:PLATEAU_IMAGES])
    train_mode(network, model)
    return float(loss)
