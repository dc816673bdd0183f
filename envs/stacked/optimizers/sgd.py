"""Stacked stochastic gradient descent."""

from __future__ import annotations

import torch
from torch import Tensor

from l2o.envs.optimizers import SGD
from l2o.envs.stacked.optimizers.base import StackedOptimizer


class StackedSGD(StackedOptimizer):
    """v ← m·v + g + λθ; θ ← θ − lr·v, as `torch.optim.SGD`.

    Args:
        parameters: flat, `[N·P]`.
        settings: momentum, weight decay, Nesterov.
    """

    buffers = 1

    def __init__(self, parameters: Tensor, settings: SGD) -> None:
        super().__init__(parameters)
        self.settings = settings
        self.momentum = torch.zeros_like(parameters)

    def step(self, gradients: Tensor) -> None:
        """Take one step."""
        settings = self.settings
        update = self._decayed(gradients, settings.weight_decay)
        if settings.momentum:
            self.momentum.mul_(settings.momentum).add_(update)
            if settings.nesterov:
                update = torch.add(update, self.momentum, alpha=settings.momentum, out=self.scratch)
            else:
                update = self.momentum
        self.parameters.addcmul_(update, self.rates, value=-1.0)

    def state(self) -> list[Tensor]:
        """Return the momentum."""
        return [self.momentum]
