"""Stacked stochastic gradient descent with the learning rate folded into the momentum."""

from __future__ import annotations

import torch
from torch import Tensor

from l2o.envs.optimizers import SGDLRMomentum
from l2o.envs.stacked.optimizers.base import StackedOptimizer


class StackedSGDLRMomentum(StackedOptimizer):
    """v ← m·v + lr·(g + λθ); θ ← θ − v, as `l2o.optimizers.momentum_lr_sgd.MomentumLRSGD`.

    Args:
        parameters: flat, `[N·P]`.
        settings: momentum and weight decay.
    """

    buffers = 1

    def __init__(self, parameters: Tensor, settings: SGDLRMomentum) -> None:
        super().__init__(parameters)
        self.settings = settings
        self.momentum = torch.zeros_like(parameters)

    def step(self, gradients: Tensor) -> None:
        """Take one step."""
        update = self._decayed(gradients, self.settings.weight_decay)
        torch.mul(update, self.rates, out=self.scratch)
        self.momentum.mul_(self.settings.momentum).add_(self.scratch)
        self.parameters.sub_(self.momentum)

    def state(self) -> list[Tensor]:
        """Return the momentum."""
        return [self.momentum]
