"""Stochastic gradient descent with hypergradient descent on its learning rates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch.optim import Optimizer

from l2o.envs.optimizers.base import InnerOptimizer
from l2o.optimizers.hypergradient_sgd import HypergradientSGD, check_hypergradient


@dataclass(frozen=True)
class HypergradientDescent(InnerOptimizer):
    """SGD whose learning rate, one per layer, follows the hypergradient: `HypergradientSGD`.

    Source: Baydin et al., Online Learning Rate Adaptation with Hypergradient Descent, ICLR 2018;
    `l2o.optimizers.hypergradient_sgd` has the formula and says what differs.

    Args:
        hyper_lr: β, not negative; below 1 unless additive.
        momentum: m, in [0, 1).
        weight_decay: λ, not negative.
        additive: the paper's additive rule, in place of its multiplicative one.

    Raises:
        ValueError: an argument out of range.

    Example:
        >>> HypergradientDescent()
        HypergradientDescent(hyper_lr=0.02, momentum=0.9, weight_decay=0.0005, additive=False)
    """

    hyper_lr: float = 0.02
    momentum: float = 0.9
    weight_decay: float = 5e-4
    additive: bool = False

    def __post_init__(self) -> None:
        check_hypergradient(self.hyper_lr, self.momentum, self.weight_decay, self.additive)

    def make(self, param_groups: list[dict[str, Any]]) -> Optimizer:
        """Return a `HypergradientSGD`."""
        return HypergradientSGD(
            param_groups,
            hyper_lr=self.hyper_lr,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            additive=self.additive,
        )
