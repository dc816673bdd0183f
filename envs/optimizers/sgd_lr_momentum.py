"""Stochastic gradient descent with the learning rate folded into the momentum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch.optim import Optimizer

from l2o.checks import check_decay, check_number
from l2o.envs.optimizers.base import InnerOptimizer
from l2o.optimizers.momentum_lr_sgd import MomentumLRSGD


@dataclass(frozen=True)
class SGDLRMomentum(InnerOptimizer):
    """v ← m·v + lr·(g + λθ); θ ← θ − v: `l2o.optimizers.momentum_lr_sgd.MomentumLRSGD`.

    The VisDA-17 optimizer of the release of Chen et al., Automated Synthetic-to-Real
    Generalization, ICML 2020.

    Args:
        momentum: m, in [0, 1).
        weight_decay: λ, not negative.

    Raises:
        ValueError: an argument out of range.

    Example:
        >>> SGDLRMomentum()
        SGDLRMomentum(momentum=0.9, weight_decay=0.0005)
    """

    momentum: float = 0.9
    weight_decay: float = 5e-4

    def __post_init__(self) -> None:
        check_decay("momentum", self.momentum)
        check_number("weight_decay", self.weight_decay)

    def make(self, param_groups: list[dict[str, Any]]) -> Optimizer:
        """Return a `MomentumLRSGD`."""
        return MomentumLRSGD(param_groups, momentum=self.momentum, weight_decay=self.weight_decay)
