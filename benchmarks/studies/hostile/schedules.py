"""Learning-rate schedules, torch's own, as a user makes them."""

from __future__ import annotations

from collections.abc import Callable

from torch.optim import Optimizer
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    LambdaLR,
    LRScheduler,
    OneCycleLR,
    ReduceLROnPlateau,
)

Make = Callable[[Optimizer, int], LRScheduler | None]

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


SCHEDULES: dict[str, Make] = {
    "warm_up": _warm_up,
    "constant": lambda optimizer, steps: None,
    "cosine": lambda optimizer, steps: CosineAnnealingLR(optimizer, T_max=steps),
    "restarts": _restarts,
    "one_cycle": _one_cycle,
    "plateau": lambda optimizer, steps: ReduceLROnPlateau(optimizer, factor=0.5, patience=1),
}
"""Name -> optimizer and number of steps -> scheduler."""
