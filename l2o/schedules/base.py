"""The contract of schedules: progress -> factor on the base learning rate."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor


class Schedule(ABC):
    """A pure function of progress p in [0, 1]: the factor on the base learning rate.

    Step i (from 0) of a training of T steps has p = i / T. Members are frozen dataclasses, so
    that equal arguments are equal schedules and a bad argument is an error at once.

    Attributes:
        needs_progress: False if the factor does not depend on p, so that it is known even where
            the length of the training is not.

    Example:
        >>> class Halves(Schedule):
        ...     def compute(self, progress):
        ...         return 0.5 ** progress
        >>> Halves()(torch.tensor([0.0, 1.0]))
        tensor([1.0000, 0.5000])
    """

    needs_progress: ClassVar[bool] = True

    def of_length(self, total_steps: int | None) -> Schedule:
        """Return the schedule of a training of so many steps; only some count in steps.

        Args:
            total_steps: length of the training, None where it is not known.
        """
        del total_steps
        return self

    @abstractmethod
    def compute(self, progress: Tensor) -> Tensor:
        """Return the factors of progress in [0, 1], any shape."""

    def __call__(self, progress: Tensor) -> Tensor:
        """Return the factors, finite and not negative, in the shape of progress.

        Args:
            progress: floating-point tensor of any shape; values are clamped to [0, 1].
        """
        return self.compute(progress.clamp(0.0, 1.0))


def cosine_between(start: float, end: float, share: Tensor) -> Tensor:
    """Return `end + (start - end) * (1 + cos(π * share)) / 2`: half a cosine wave, start to end."""
    return end + (start - end) * (1.0 + torch.cos(torch.pi * share)) / 2.0
