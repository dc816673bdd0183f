"""Optimizers, each at a base learning rate that is right for the plain run on that network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.optim import Optimizer

OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "SGD": lambda parameters, lr: torch.optim.SGD(parameters, lr=lr, momentum=0.9),
    "AdamW": torch.optim.AdamW,
    "Adafactor": torch.optim.Adafactor,
}
"""Name -> parameters and learning rate -> optimizer."""

CANDIDATES: dict[str, tuple[float, ...]] = {
    "SGD": (0.001, 0.003, 0.01, 0.03, 0.1),
    "AdamW": (1e-4, 3e-4, 1e-3, 3e-3, 1e-2),
    "Adafactor": (1e-3, 3e-3, 1e-2, 3e-2, 1e-1),
}
"""Optimizer -> learning rates that were tried."""

BASE_LRS: dict[str, dict[str, float]] = {
    "mlp": {"SGD": 0.01, "AdamW": 1e-3, "Adafactor": 3e-2},
    "bn_resnet": {"SGD": 0.001, "AdamW": 3e-4, "Adafactor": 1e-2},
    "vit": {"SGD": 0.003, "AdamW": 3e-4, "Adafactor": 1e-2},
    "efficientnet_lite0": {"SGD": 0.001, "AdamW": 3e-4, "Adafactor": 3e-3},
}
"""Network -> optimizer -> the candidate with which the plain run, at a constant rate and on a seed
of its own, was best on the target; of equal ones the smallest (`--set tune`)."""


def make_optimizer(name: str, parameters: Any, lr: float) -> Optimizer:
    """Return an optimizer as a user makes it: one param group, torch's defaults."""
    return OPTIMIZERS[name](parameters, lr=lr)
