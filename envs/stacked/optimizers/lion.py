"""Stacked Lion."""

from __future__ import annotations

import torch
from torch import Tensor

from l2o.envs.optimizers import Lion
from l2o.envs.stacked.optimizers.base import StackedOptimizer


class StackedLion(StackedOptimizer):
    """θ ← θ − lr·(sign(β₁m + (1−β₁)g) + λθ); m ← β₂m + (1−β₂)g, as `l2o.optimizers.lion.Lion`.

    Args:
        parameters: flat, `[N·P]`.
        settings: betas and weight decay.
    """

    buffers = 1

    def __init__(self, parameters: Tensor, settings: Lion) -> None:
        super().__init__(parameters)
        self.settings = settings
        self.momentum = torch.zeros_like(parameters)

    def step(self, gradients: Tensor) -> None:
        """Take one step."""
        (beta1, beta2), decay = self.settings.betas, self.settings.weight_decay
        update = torch.mul(self.momentum, beta1, out=self.scratch)
        update.add_(gradients, alpha=1 - beta1).sign_().add_(self.parameters, alpha=decay)
        self.parameters.addcmul_(update, self.rates, value=-1.0)
        self.momentum.mul_(beta2).add_(gradients, alpha=1 - beta2)

    def state(self) -> list[Tensor]:
        """Return the momentum."""
        return [self.momentum]
