"""Stacked Adam and AdamW."""

from __future__ import annotations

import torch
from torch import Tensor

from l2o.envs.optimizers import Adam, AdamW
from l2o.envs.stacked.optimizers.base import StackedOptimizer


class StackedAdam(StackedOptimizer):
    """Adam as `torch.optim.Adam`, or with decoupled weight decay as `torch.optim.AdamW`.

    m ← β₁m + (1−β₁)g; v ← β₂v + (1−β₂)g²; θ ← θ − lr·m̂/(√v̂ + ε), m̂ = m/c₁, v̂ = v/c₂. Networks
    may be at different steps, so cᵢ = 1 − βᵢᵗ is kept per element: cᵢ ← βᵢ·cᵢ + 1 − βᵢ.

    Args:
        parameters: flat, `[N·P]`.
        settings: of Adam or AdamW; which one decides how the weights decay.
    """

    buffers = 4

    def __init__(self, parameters: Tensor, settings: Adam | AdamW) -> None:
        super().__init__(parameters)
        self.settings = settings
        self.decoupled = isinstance(settings, AdamW)
        self.mean = torch.zeros_like(parameters)
        self.square = torch.zeros_like(parameters)
        self.correction1 = torch.zeros_like(parameters)
        self.correction2 = torch.zeros_like(parameters)

    def step(self, gradients: Tensor) -> None:
        """Take one step."""
        settings = self.settings
        (beta1, beta2), decay = settings.betas, settings.weight_decay
        if self.decoupled:
            torch.mul(self.rates, -decay, out=self.scratch)
            self.parameters.addcmul_(self.parameters, self.scratch)
            decay = 0.0
        update = self._decayed(gradients, decay)
        self.mean.lerp_(update, 1 - beta1)
        self.square.mul_(beta2).addcmul_(update, update, value=1 - beta2)
        self.correction1.mul_(beta1).add_(1 - beta1)
        self.correction2.mul_(beta2).add_(1 - beta2)
        root = torch.div(self.square, self.correction2, out=self.scratch).sqrt_()
        direction = root.add_(settings.eps).mul_(self.correction1).reciprocal_().mul_(self.mean)
        self.parameters.addcmul_(direction, self.rates, value=-1.0)

    def state(self) -> list[Tensor]:
        """Return both moments and the bias corrections."""
        return [self.mean, self.square, self.correction1, self.correction2]
