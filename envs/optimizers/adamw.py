"""Adam with decoupled weight decay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch.optim import Optimizer

from l2o.envs.optimizers.base import InnerOptimizer, check_adam


@dataclass(frozen=True)
class AdamW(InnerOptimizer):
    """θ ← θ − lr·λθ; then Adam's step without weight decay: `torch.optim.AdamW`.

    Source: Loshchilov and Hutter, Decoupled Weight Decay Regularization, ICLR 2019.

    Args:
        betas: β₁ and β₂, in [0, 1).
        eps: ε, above 0.
        weight_decay: λ, not negative.

    Raises:
        ValueError: an argument out of range.

    Example:
        >>> AdamW()
        AdamW(betas=(0.9, 0.999), eps=1e-08, weight_decay=0.01)
    """

    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.01

    def __post_init__(self) -> None:
        object.__setattr__(self, "betas", tuple(self.betas))
        check_adam(self.betas, self.eps, self.weight_decay)

    def make(self, param_groups: list[dict[str, Any]]) -> Optimizer:
        """Return a `torch.optim.AdamW`."""
        return torch.optim.AdamW(
            param_groups, betas=self.betas, eps=self.eps, weight_decay=self.weight_decay
        )
