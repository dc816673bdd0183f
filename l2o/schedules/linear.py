"""The linear schedule."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from l2o.checks import check_number
from l2o.schedules.base import Schedule


@dataclass(frozen=True)
class Linear(Schedule):
    """From `start` to `end` along a line.

    start + (end − start) · p; `torch.optim.lr_scheduler.LinearLR`.

    Args:
        start: the factor at the start, not negative.
        end: the factor at the end, not negative.

    Raises:
        ValueError: one of them is negative or not finite.

    Example:
        >>> Linear()(torch.tensor([0.0, 0.25, 1.0]))
        tensor([1.0000, 0.7500, 0.0000])
    """

    start: float = 1.0
    end: float = 0.0

    def __post_init__(self) -> None:
        check_number("start", self.start)
        check_number("end", self.end)

    def compute(self, progress: Tensor) -> Tensor:
        """Return the factors."""
        return self.start + (self.end - self.start) * progress
