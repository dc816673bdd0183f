"""The constant schedule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from l2o.schedules.base import Schedule


@dataclass(frozen=True)
class Constant(Schedule):
    """1 throughout.

    Example:
        >>> Constant()(torch.tensor([0.0, 0.7]))
        tensor([1., 1.])
    """

    needs_progress: ClassVar[bool] = False

    def compute(self, progress: Tensor) -> Tensor:
        """Return ones."""
        return torch.ones_like(progress)
