"""Optimizers, each at a base learning rate that is right for the plain run; torch's schedules."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    LambdaLR,
    LRScheduler,
    OneCycleLR,
    ReduceLROnPlateau,
)

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

WARM_UP = 0.2
"""Share of the steps over which the rate rises, from exactly 0."""


def _warm_up(optimizer: Optimizer, steps: int) -> LRScheduler:
    return LambdaLR(optimizer, lambda step: min(1.0, step / max(1.0, WARM_UP * steps)))


def _restarts(optimizer: Optimizer, steps: int) -> LRScheduler:
    return CosineAnnealingWarmRestarts(optimizer, T_0=max(1, steps // 3))


def _one_cycle(optimizer: Optimizer, steps: int) -> LRScheduler:
    group = optimizer.param_groups[0]
    # It cycles the momentum, too, as is its default, where the optimizer has one.
    cycles = "momentum" in group or "betas" in group
    return OneCycleLR(optimizer, max_lr=group["lr"], total_steps=steps, cycle_momentum=cycles)


SCHEDULES: dict[str, Callable[[Optimizer, int], LRScheduler | None]] = {
    "warm_up": _warm_up,
    "constant": lambda optimizer, steps: None,
    "cosine": lambda optimizer, steps: CosineAnnealingLR(optimizer, T_max=steps),
    "restarts": _restarts,
    "one_cycle": _one_cycle,
    "plateau": lambda optimizer, steps: ReduceLROnPlateau(optimizer, factor=0.5, patience=1),
}
"""Name -> optimizer and number of steps -> scheduler."""
