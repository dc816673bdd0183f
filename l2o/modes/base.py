"""The contract of modes: how multipliers reach a live optimizer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor
from torch.optim import Optimizer

from l2o.groups import LayerGroup


class Mode(ABC):
    """Applies one multiplier per layer group around an optimizer step.

    Args:
        optimizer: the user's optimizer.
        groups: layer groups, all of whose parameters the optimizer holds.
    """

    name: ClassVar[str]

    def __init__(self, optimizer: Optimizer, groups: Sequence[LayerGroup]) -> None:
        self.optimizer = optimizer
        self.groups = tuple(groups)

    @abstractmethod
    def before_step(self, multipliers: Tensor) -> None:
        """Make the coming step use the multipliers `[L]` (float, CPU)."""

    @abstractmethod
    def after_step(self) -> None:
        """Leave the optimizer as the user and their LR scheduler expect it."""

    def base_lrs(self) -> list[float]:
        """Return the user's learning rate of each layer group: the mean over its parameters."""
        rate_of = {
            id(p): float(group["lr"])
            for group in self.optimizer.param_groups
            for p in group["params"]
        }
        return [
            sum(rate_of[id(p)] for p in group.parameters) / len(group.parameters)
            for group in self.groups
        ]
