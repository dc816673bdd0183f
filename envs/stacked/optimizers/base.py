"""The contract of stacked optimizers: one flat buffer, one learning rate per element."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor


class StackedOptimizer(ABC):
    """Updates the flat parameters of N networks in place.

    Nothing here reads a tensor's value on the host, so that steps can be captured as CUDA graphs.

    Args:
        parameters: flat, `[N·P]`.

    Attributes:
        rates: learning rate of each element; written once per decision.
    """

    buffers: int
    """Flat buffers of state, for the prediction of memory."""

    def __init__(self, parameters: Tensor) -> None:
        self.parameters = parameters
        self.rates = torch.zeros_like(parameters)
        self.scratch = torch.empty_like(parameters)

    @abstractmethod
    def step(self, gradients: Tensor) -> None:
        """Take one step along flat gradients, which stay as they are."""

    @abstractmethod
    def state(self) -> list[Tensor]:
        """Return the flat buffers that a fresh run begins with as zeros."""

    def _decayed(self, gradients: Tensor, weight_decay: float) -> Tensor:
        """Return g + λθ."""
        if not weight_decay:
            return gradients
        return torch.add(gradients, self.parameters, alpha=weight_decay, out=self.scratch)
