"""Lion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch.optim import Optimizer

from l2o.checks import check_number
from l2o.envs.optimizers.base import InnerOptimizer
from l2o.optimizers import lion


@dataclass(frozen=True)
class Lion(InnerOptimizer):
    """θ ← θ − lr·(sign(β₁m + (1−β₁)g) + λθ); m ← β₂m + (1−β₂)g: `l2o.optimizers.lion.Lion`.

    Source: Chen et al., Symbolic Discovery of Optimization Algorithms, NeurIPS 2023.

    Args:
        betas: β₁ and β₂, in [0, 1).
        weight_decay: λ, not negative.

    Raises:
        ValueError: an argument out of range.

    Example:
        >>> Lion()
        Lion(betas=(0.9, 0.99), weight_decay=0.0)
    """

    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "betas", tuple(self.betas))
        lion.check_betas(self.betas)
        check_number("weight_decay", self.weight_decay)

    def make(self, param_groups: list[dict[str, Any]]) -> Optimizer:
        """Return a `Lion`."""
        return lion.Lion(param_groups, betas=self.betas, weight_decay=self.weight_decay)
