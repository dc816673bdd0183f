"""The one-cycle schedule."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from l2o.checks import check_number
from l2o.schedules.base import Schedule, cosine_between


@dataclass(frozen=True)
class OneCycle(Schedule):
    """Rises to 1 and falls far below the start, both along half a cosine wave.

    p < w: from 1/d to 1; then from 1 to 1/(d·f). As `torch.optim.lr_scheduler.OneCycleLR` with
    `max_lr` the base learning rate and cosine annealing (momentum stays as it is). PyTorch's ends
    one step earlier: of N `total_steps`, it has p = i / (N − 1) and w = (pct_start·N − 1)/(N − 1).
    Source: Smith and Topin, Super-Convergence: Very Fast Training of Neural Networks Using Large
    Learning Rates, 2018.

    Args:
        warmup: w, the share of the training that rises, in [0, 1).
        div_factor: d, how far below the base the start is, 1 or more.
        final_div_factor: f, how far below the start the end is, 1 or more.

    Raises:
        ValueError: an argument out of range.

    Example:
        >>> OneCycle(warmup=0.5)(torch.tensor([0.0, 0.25, 0.5]))
        tensor([0.0400, 0.5200, 1.0000])
    """

    warmup: float = 0.3
    div_factor: float = 25.0
    final_div_factor: float = 1e4

    def __post_init__(self) -> None:
        check_number("warmup", self.warmup, 0.0, 1.0)
        if self.warmup == 1.0:
            raise ValueError("warmup must be below 1, so that the cycle can fall, got 1.0")
        check_number("div_factor", self.div_factor, 1.0)
        check_number("final_div_factor", self.final_div_factor, 1.0)

    def compute(self, progress: Tensor) -> Tensor:
        """Return the factors."""
        start = 1.0 / self.div_factor
        fall = ((progress - self.warmup) / (1.0 - self.warmup)).clamp_min(0.0)
        falling = cosine_between(1.0, start / self.final_div_factor, fall)
        if self.warmup == 0.0:
            return falling
        rising = cosine_between(start, 1.0, progress / self.warmup)
        return torch.where(progress < self.warmup, rising, falling)
