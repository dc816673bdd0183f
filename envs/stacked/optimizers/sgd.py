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
        momentum, decay = self.settings.momentum, self.settings.weight_decay
        if momentum and not self.settings.nesterov:
            # Two passes over memory less than by way of g + λθ.
            torch.add(gradients, self.momentum, alpha=momentum, out=self.momentum)
            self.momentum.add_(self.parameters, alpha=decay)
            update = self.momentum
        else:
            update = self._decayed(gradients, decay)
            if momentum:
                self.momentum.mul_(momentum).add_(update)
                update = torch.add(update, self.momentum, alpha=momentum, out=self.scratch)
        self.parameters.addcmul_(update, self.rates, value=-1.0)

    def state(self) -> list[Tensor]:
        """Return the momentum."""
        return [self.momentum]
