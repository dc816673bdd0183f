"""The schedule of ASG's hand-tuned run: a warm-up in steps, then a fall that stops early."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from l2o.checks import check_number, check_steps
from l2o.schedules.base import Schedule


@dataclass(frozen=True)
class ASG(Schedule):
    """min(start + (1 − start) (i / warmup)², 1) · (1 − min(p, hold))^power, i = p · T in steps.

    Source: Chen et al., Automated Synthetic-to-Real Generalization, ICML 2020 (the hand-tuned run
    on VisDA-17). The warm-up has a number of steps, not a share of the training, and the rate stays
    where it is once `hold` of the training is done.

    Args:
        warmup: steps until the warm-up is over, 0 or more; 0 is none.
        start: the factor of the warm-up at its first step, in [0, 1].
        power: the exponent of the fall, above 0.
        hold: share of the training after which the factor stays, in (0, 1]; 1: it falls to 0.
        total_steps: T, the training's length; None: that of the training that it is used in.

    Raises:
        ValueError: an argument out of range. In a call: there is a warm-up and nobody said how long
            the training is.

    Example:
        >>> ASG(total_steps=1000)(torch.tensor([0.0, 0.05, 0.1, 0.8, 1.0]))
        tensor([0.0100, 0.2459, 0.9095, 0.2349, 0.2349])
    """

    warmup: int = 100
    start: float = 0.01
    power: float = 0.9
    hold: float = 0.8
    total_steps: int | None = None

    def __post_init__(self) -> None:
        if isinstance(self.warmup, bool) or not isinstance(self.warmup, int) or self.warmup < 0:
            raise ValueError(
                f"warmup must be a whole number of steps, not negative, got {self.warmup!r}"
            )
        check_number("start", self.start, 0.0, 1.0)
        check_number("power", self.power, above=True)
        check_number("hold", self.hold, 0.0, 1.0, above=True)
        check_steps("total_steps", self.total_steps)

    def of_length(self, total_steps: int | None) -> ASG:
        """Return it for a training of so many steps, unless it has a length of its own."""
        return self if self.total_steps is not None else replace(self, total_steps=total_steps)

    def compute(self, progress: Tensor) -> Tensor:
        """Return the factors."""
        falling = (1.0 - progress.clamp_max(self.hold)) ** self.power
        if self.warmup == 0:
            return falling
        if self.total_steps is None:
            raise ValueError(
                f"{self!r} warms up for {self.warmup} steps, but nobody said how many steps the "
                "training has; give total_steps, to it or to LRController"
            )
        share = progress * self.total_steps / self.warmup
        rising = self.start + (1.0 - self.start) * share.square()
        return torch.clamp(rising, max=1.0) * falling
