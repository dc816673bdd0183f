"""Stacked RMSprop."""

from __future__ import annotations

import torch
from torch import Tensor

from l2o.envs.optimizers import RMSprop
from l2o.envs.stacked.optimizers.base import StackedOptimizer


class StackedRMSprop(StackedOptimizer):
    """s ← αs + (1−α)g²; b ← m·b + g/(√s + ε); θ ← θ − lr·b, as `torch.optim.RMSprop`.

    Args:
        parameters: flat, `[N·P]`.
        settings: α, ε, momentum, weight decay.
    """

    buffers = 3

    def __init__(self, parameters: Tensor, settings: RMSprop) -> None:
        super().__init__(parameters)
        self.settings = settings
        self.square = torch.zeros_like(parameters)
        # Also the place of g/(√s + ε), where there is no momentum.
        self.momentum = torch.zeros_like(parameters)
        self.root = torch.empty_like(parameters)

    def step(self, gradients: Tensor) -> None:
        """Take one step."""
        settings = self.settings
        update = self._decayed(gradients, settings.weight_decay)
        self.square.mul_(settings.alpha).addcmul_(update, update, value=1 - settings.alpha)
        root = torch.sqrt(self.square, out=self.root).add_(settings.eps)
        self.momentum.mul_(settings.momentum).addcdiv_(update, root)
        self.parameters.addcmul_(self.momentum, self.rates, value=-1.0)

    def state(self) -> list[Tensor]:
        """Return the mean square and the momentum."""
        return [self.square, self.momentum]
