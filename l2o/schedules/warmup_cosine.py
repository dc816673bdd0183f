"""The cosine schedule with a linear warm-up."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from l2o.checks import check_number
from l2o.schedules.base import Schedule, cosine_between


@dataclass(frozen=True)
class WarmupCosine(Schedule):
    """Rises from `start` to 1 along a line, then falls to `end` along half a cosine wave.

    p < w: start + (1 − start) · p / w; then end + (1 − end) · (1 + cos π(p − w)/(1 − w)) / 2.
    As `SequentialLR` of `LinearLR` and `CosineAnnealingLR`. Source: Goyal et al., Accurate, Large
    Minibatch SGD: Training ImageNet in 1 Hour, 2017 (the warm-up); Loshchilov and Hutter, SGDR,
    ICLR 2017 (the cosine).

    Args:
        warmup: w, the share of the training that warms up, in [0, 1]; 0 is none.
        start: the factor at the start of the warm-up, not negative.
        end: the factor at the end, not negative.

    Raises:
        ValueError: an argument out of range.

    Example:
        >>> WarmupCosine(warmup=0.5)(torch.tensor([0.0, 0.5, 0.75, 1.0]))
        tensor([0.0100, 1.0000, 0.5000, 0.0000])
    """

    warmup: float = 0.05
    start: float = 0.01
    end: float = 0.0

    def __post_init__(self) -> None:
        check_number("warmup", self.warmup, 0.0, 1.0)
        check_number("start", self.start)
        check_number("end", self.end)

    def compute(self, progress: Tensor) -> Tensor:
        """Return the factors."""
        if self.warmup == 1.0:
            return self.start + (1.0 - self.start) * progress
        fall = ((progress - self.warmup) / (1.0 - self.warmup)).clamp_min(0.0)
        falling = cosine_between(1.0, self.end, fall)
        if self.warmup == 0.0:
            return falling
        rising = self.start + (1.0 - self.start) * progress / self.warmup
        return torch.where(progress < self.warmup, rising, falling)
