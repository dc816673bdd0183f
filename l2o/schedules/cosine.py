"""The cosine schedule."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from l2o.checks import check_number
from l2o.schedules.base import Schedule, cosine_between


@dataclass(frozen=True)
class Cosine(Schedule):
    """From 1 to `end` along half a cosine wave.

    end + (1 − end) · (1 + cos πp) / 2; `torch.optim.lr_scheduler.CosineAnnealingLR` with
    `eta_min = end * lr`. Source: Loshchilov and Hutter, SGDR: Stochastic Gradient Descent with
    Warm Restarts, ICLR 2017 (without restarts).

    Args:
        end: the factor at the end, not negative.

    Raises:
        ValueError: `end` is negative or not finite.

    Example:
        >>> Cosine()(torch.tensor([0.0, 0.5, 1.0]))
        tensor([1.0000, 0.5000, 0.0000])
    """

    end: float = 0.0

    def __post_init__(self) -> None:
        check_number("end", self.end)

    def compute(self, progress: Tensor) -> Tensor:
        """Return the factors."""
        return cosine_between(1.0, self.end, progress)
