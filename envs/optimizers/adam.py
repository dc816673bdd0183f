"""Adam."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch.optim import Optimizer

from l2o.envs.optimizers.base import InnerOptimizer, check_adam


@dataclass(frozen=True)
class Adam(InnerOptimizer):
    """g ← g + λθ; m ← β₁m + (1−β₁)g; v ← β₂v + (1−β₂)g²; θ ← θ − lr·m̂/(√v̂ + ε).

    `torch.optim.Adam`; m̂ = m/(1−β₁ᵗ), v̂ = v/(1−β₂ᵗ). Source: Kingma and Ba, Adam: A Method for
    Stochastic Optimization, ICLR 2015.

    Args:
        betas: β₁ and β₂, in [0, 1).
        eps: ε, above 0.
        weight_decay: λ, not negative.

    Raises:
        ValueError: an argument out of range.

    Example:
        >>> Adam()
        Adam(betas=(0.9, 0.999), eps=1e-08, weight_decay=0.0)
    """

    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "betas", tuple(self.betas))
        check_adam(self.betas, self.eps, self.weight_decay)

    def make(self, param_groups: list[dict[str, Any]]) -> Optimizer:
        """Return a `torch.optim.Adam`."""
        return torch.optim.Adam(
            param_groups, betas=self.betas, eps=self.eps, weight_decay=self.weight_decay
        )
