"""The contract of policies: observation -> multipliers, possibly with a state."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor

from l2o.spec import SignalSpec

State = dict[str, Tensor]
"""A policy's memory between decisions: plain tensors, so that it rides in checkpoints."""


class Policy(ABC):
    """Chooses each layer group's multiplier from what was measured.

    Attributes:
        signals: the spec of the observations it wants.
        interval: optimizer steps between its decisions.

    Example:
        >>> class Halve(Policy):
        ...     def __call__(self, observation, state):
        ...         return torch.full(observation.shape[:1], 0.5), state
    """

    signals: SignalSpec = SignalSpec(("present",))
    interval: int = 10

    def initial_state(self, num_layers: int) -> State:
        """Return the state before the first decision."""
        del num_layers
        return {}

    @abstractmethod
    def __call__(self, observation: Tensor, state: State) -> tuple[Tensor, State]:
        """Decide once.

        Args:
            observation: `[L, F]`, float32 on CPU, as `signals` encodes it.
            state: what the last call returned, or `initial_state(L)`.

        Returns:
            Multipliers `[L]` (finite, not negative), and the new state.
        """
