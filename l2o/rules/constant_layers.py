"""Given multipliers, the same throughout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from l2o.checks import check_number
from l2o.deciding.policy import State
from l2o.layers.groups import LayerGroup
from l2o.rules.base import Rule
from l2o.signals.spec import SignalSpec


@dataclass
class ConstantLayers(Rule):
    """multiplier[l] is the l-th given one, from the input to the head.

    Args:
        multipliers: one for each layer group, not negative.

    Raises:
        ValueError: none, or one that is negative or not finite; when a run begins, or in a call:
            the network has another number of layer groups.

    Example:
        >>> rule = ConstantLayers((0.0, 0.1, 1.0))
        >>> rule(torch.ones(3, 1), {})[0]
        tensor([0.0000, 0.1000, 1.0000])
    """

    multipliers: Sequence[float]
    signals = SignalSpec(("present",))

    def __post_init__(self) -> None:
        self.multipliers = tuple(self.multipliers)
        if not self.multipliers:
            raise ValueError("multipliers are empty; give one for each layer group")
        for multiplier in self.multipliers:
            check_number("a multiplier of multipliers", multiplier)

    def check(self, groups: Sequence[LayerGroup], total_steps: int | None) -> None:
        """Refuse a network with another number of layer groups."""
        del total_steps
        self._check_count(len(groups), [group.name for group in groups])

    def __call__(self, observation: Tensor, state: State) -> tuple[Tensor, State]:
        """Return the multipliers `[L]`, and the state as it was."""
        self._check_count(len(observation))
        dtype, device = observation.dtype, observation.device
        return torch.tensor(self.multipliers, dtype=dtype, device=device), state

    def _check_count(self, layers: int, names: Sequence[str] = ()) -> None:
        if layers != len(self.multipliers):
            named = f" ({', '.join(names)})" if names else ""
            raise ValueError(
                f"constant_layers has {len(self.multipliers)} multipliers, but the network has "
                f"{layers} layer groups{named}; give one for each"
            )
