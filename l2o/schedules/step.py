"""The step schedule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from l2o.checks import check_number
from l2o.schedules.base import Schedule


@dataclass(frozen=True)
class Step(Schedule):
    """Falls by `gamma` at each milestone.

    gamma^n with n the number of milestones m ≤ p; `torch.optim.lr_scheduler.MultiStepLR` with
    milestones m · T, and `StepLR` where they are evenly spaced.

    Args:
        milestones: shares of the training in (0, 1], rising.
        gamma: the factor of each fall, in (0, 1].

    Raises:
        ValueError: milestones that do not rise or lie outside (0, 1], or a `gamma` out of range.

    Example:
        >>> Step()(torch.tensor([0.0, 0.5, 0.8]))
        tensor([1.0000, 0.1000, 0.0100])
    """

    milestones: Sequence[float] = (0.5, 0.75)
    gamma: float = 0.1

    def __post_init__(self) -> None:
        object.__setattr__(self, "milestones", tuple(self.milestones))
        for milestone in self.milestones:
            check_number("a milestone", milestone, 0.0, 1.0, above=True)
        if list(self.milestones) != sorted(set(self.milestones)):
            raise ValueError(f"milestones must rise, got {self.milestones}")
        check_number("gamma", self.gamma, 0.0, 1.0, above=True)

    def compute(self, progress: Tensor) -> Tensor:
        """Return the factors."""
        falls = torch.zeros_like(progress)
        for milestone in self.milestones:
            # Progress is a rounded i / T: the step at the milestone must not miss it.
            falls = falls + (progress >= milestone - 1e-6).to(progress.dtype)
        return self.gamma**falls
