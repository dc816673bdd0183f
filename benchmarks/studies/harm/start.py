"""The blind start: before anything is measured, does the first decision suit the head?

Heads of 64 to 8,192 inputs, on features as a new network or a pretrained one has them; the
controller is told a length of the training between 20 steps and 100,000, or none. Judged are the
first 50 steps, at a usual default learning rate.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer

from l2o.benchmarks.studies.harm.base import QUICK_POLICIES, Choice, Ran, Set
from l2o.benchmarks.studies.harm.cell import Cell, Scores
from l2o.benchmarks.studies.harm.optimizers import OPTIMIZERS
from l2o.benchmarks.studies.harm.plugging import control, take_steps

INPUTS, HIDDEN, CLASSES, BATCH, STEPS = 32, 64, 10, 16, 50
FEATURES = ("random", "pretrained")
WIDTHS = (64, 512, 2048, 8192)
HEADS = {f"{features}-{width}": (features, width) for features in FEATURES for width in WIDTHS}
"""Name of a network -> its features, and the inputs of its head."""
LENGTHS = {"20": 20, "100": 100, "1000": 1000, "100000": 100_000, "untold": None}
"""Name -> total steps that the controller is told."""
START_OPTIMIZERS: dict[str, tuple[Callable[..., Optimizer], float]] = {
    "SGD": (OPTIMIZERS["SGD"], 0.01),
    "AdamW": (OPTIMIZERS["AdamW"], 1e-3),
    "Adafactor": (OPTIMIZERS["Adafactor"], 1e-2),
    "Muon": (torch.optim.Muon, 0.02),
}
"""Name -> optimizer and a usual default of its learning rate."""


def fine_tune(cell: Cell) -> Ran:
    """Train for the first steps."""
    torch.manual_seed(cell.seed)
    # Muon takes matrices alone.
    model = make_model(cell.network, bias=cell.optimizer != "Muon")
    optimizer = START_OPTIMIZERS[cell.optimizer][0](model.parameters(), lr=cell.lr)
    controller = control(cell, optimizer, model)
    centres = torch.randn(CLASSES, INPUTS)

    def next_loss() -> Tensor:
        labels = torch.randint(0, CLASSES, (BATCH,))
        return cross_entropy(model(centres[labels] + torch.randn(BATCH, INPUTS)), labels)

    return take_steps(cell.steps, next_loss, optimizer, controller), controller, Scores()


def make_model(network: str, bias: bool) -> nn.Sequential:
    """Return an untrained head on a backbone of two layers.

    Pretrained features are as large as a batch norm and a ReLU leave them, random ones as torch
    draws the layers: about a seventh of that.
    """
    features, width = HEADS[network]
    backbone = [nn.Linear(INPUTS, HIDDEN, bias), nn.ReLU()]
    backbone += [nn.Linear(HIDDEN, width, bias), nn.ReLU()]
    if features == "pretrained":
        _normalise(backbone, torch.randn(256, INPUTS) * 2**0.5)
    return nn.Sequential(*backbone, nn.Linear(width, CLASSES, bias))


@torch.no_grad()
def _normalise(layers: list[nn.Module], inputs: Tensor) -> None:
    """Scale each unit to a root mean square of 1 before its ReLU."""
    for layer in layers:
        if isinstance(layer, nn.Linear):
            size = layer(inputs).square().mean(dim=0).sqrt()
            layer.weight.div_(size[:, None])
            if layer.bias is not None:
                layer.bias.div_(size)
        inputs = layer(inputs)


START = Set(
    networks=HEADS,
    optimizers=START_OPTIMIZERS,
    schedules=LENGTHS,
    bound=1.5,
    quick=Choice(
        policies=QUICK_POLICIES,
        networks=("random-64", "random-2048", "pretrained-64", "pretrained-2048"),
        optimizers=("SGD", "AdamW"),
        schedules=("20", "1000"),
    ),
    model=lambda network: make_model(network, bias=True),
    steps=lambda network: STEPS,
    lrs=lambda network, optimizer: (START_OPTIMIZERS[optimizer][1],),
    fine_tune=fine_tune,
    # A schedule is a length that the controller is told.
    ways=lambda plain, choice: [{"told": LENGTHS[n]} for n in choice.schedules or LENGTHS],
    plain_schedule="constant",
)
