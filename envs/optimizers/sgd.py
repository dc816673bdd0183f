"""Stochastic gradient descent with momentum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch.optim import Optimizer

from l2o.checks import check_decay, check_number
from l2o.envs.optimizers.base import InnerOptimizer


@dataclass(frozen=True)
class SGD(InnerOptimizer):
    """v ← m·v + g + λθ; θ ← θ − lr·v: `torch.optim.SGD`.

    Args:
        momentum: m, in [0, 1).
        weight_decay: λ, not negative.
        nesterov: look one step ahead; needs a momentum.

    Raises:
        ValueError: an argument out of range.

    Example:
        >>> SGD()
        SGD(momentum=0.9, weight_decay=0.0005, nesterov=False)
    """

    momentum: float = 0.9
    weight_decay: float = 5e-4
    nesterov: bool = False

    def __post_init__(self) -> None:
        check_decay("momentum", self.momentum)
        check_number("weight_decay", self.weight_decay)
        if self.nesterov and self.momentum == 0.0:
            raise ValueError("nesterov needs a momentum above 0, got 0.0")

    def make(self, param_groups: list[dict[str, Any]]) -> Optimizer:
        """Return a `torch.optim.SGD`."""
        return torch.optim.SGD(
            param_groups,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            nesterov=self.nesterov,
        )
