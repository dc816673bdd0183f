"""A teacher whose weights are the moving average of the trained network's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from l2o.checks import check_decay


class EmaTeacher:
    """θ' ← decay · θ' + (1 − decay) · θ after each step; predicts in the place of the network.

    Source: Tarvainen and Valpola, Mean Teachers are Better Role Models, NeurIPS 2017. What is no
    floating-point number is copied.

    Args:
        model: its weights now are the first.
        decay: in [0, 1).

    Raises:
        ValueError: another decay.

    Example:
        >>> model = nn.Linear(1, 1, bias=False)
        >>> _ = nn.init.ones_(model.weight)
        >>> teacher = EmaTeacher(model, decay=0.5)
        >>> _ = nn.init.zeros_(model.weight)
        >>> teacher.update(model)
        >>> with teacher.in_place_of(model):
        ...     model.weight.item()
        0.5
    """

    def __init__(self, model: nn.Module, decay: float = 0.999) -> None:
        check_decay("decay", decay)
        self.decay = decay
        self._weights = {name: t.detach().clone() for name, t in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take account of a step of the network."""
        for name, tensor in model.state_dict().items():
            held = self._weights[name]
            if held.is_floating_point():
                held.lerp_(tensor, 1.0 - self.decay)
            else:
                held.copy_(tensor)

    @contextmanager
    def in_place_of(self, model: nn.Module) -> Iterator[None]:
        """Give the network the teacher's weights within."""
        before = {name: t.detach().clone() for name, t in model.state_dict().items()}
        model.load_state_dict(self._weights)
        try:
            yield
        finally:
            model.load_state_dict(before)

    def state_dict(self) -> dict[str, Tensor]:
        """Return the averages."""
        return dict(self._weights)

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from `state_dict()`."""
        for name, tensor in state.items():
            self._weights[name].copy_(tensor)
