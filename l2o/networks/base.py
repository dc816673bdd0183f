"""The contract of policy networks: what a learned policy runs, and what its card says of it."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

Device = str | torch.device
"""Where a network's parameters lie; always said, since torch's default device is the user's."""


class PolicyNetwork(nn.Module):
    """Observation `[..., L, F]` and a state -> outputs `[..., L, outputs]` and the next state.

    A network is float32, whatever torch's default type is: it decides as it was trained. Its
    constructor takes a `device`, "cpu" unless given; on "meta" it draws no random numbers.

    Attributes:
        kind: its name among `l2o.deciding.architectures.ARCHITECTURES`.
        features: F, signals per layer; feature 0 must be `present`.
        outputs: numbers per layer, as the multiplier range wants them.
        keeps_interval: whether it is only good at the decisions that it learned with.
    """

    kind: ClassVar[str]
    keeps_interval: ClassVar[bool] = False
    features: int
    outputs: int

    @abstractmethod
    def initial_state(self, *shape: int) -> Tensor | None:
        """Return the state before the first decision, None if there is none; shape ends in L."""

    @abstractmethod
    def forward(
        self, observation: Tensor, state: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return outputs, value `[...]` (zero for a network without one) and the next state."""

    @abstractmethod
    def architecture(self) -> dict[str, Any]:
        """Return the constructor's arguments as plain data, and `kind`."""
