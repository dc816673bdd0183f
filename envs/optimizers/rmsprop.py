"""RMSprop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch.optim import Optimizer

from l2o.checks import check_decay, check_number
from l2o.envs.optimizers.base import InnerOptimizer


@dataclass(frozen=True)
class RMSprop(InnerOptimizer):
    """g ← g + λθ; s ← αs + (1−α)g²; b ← m·b + g/(√s + ε); θ ← θ − lr·b: `torch.optim.RMSprop`.

    Source: Tieleman and Hinton, Neural Networks for Machine Learning, lecture 6.5, 2012. Without
    its centered form.

    Args:
        alpha: α, in [0, 1).
        eps: ε, above 0.
        momentum: m, in [0, 1).
        weight_decay: λ, not negative.

    Raises:
        ValueError: an argument out of range.

    Example:
        >>> RMSprop()
        RMSprop(alpha=0.99, eps=1e-08, momentum=0.0, weight_decay=0.0)
    """

    alpha: float = 0.99
    eps: float = 1e-8
    momentum: float = 0.0
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        for name in ("alpha", "momentum"):
            check_decay(name, getattr(self, name))
        check_number("eps", self.eps, above=True)
        check_number("weight_decay", self.weight_decay)

    def make(self, param_groups: list[dict[str, Any]]) -> Optimizer:
        """Return a `torch.optim.RMSprop`."""
        return torch.optim.RMSprop(
            param_groups,
            alpha=self.alpha,
            eps=self.eps,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
        )
