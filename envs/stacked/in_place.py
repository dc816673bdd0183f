"""Rectifying in place: one pass over memory less per layer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode


class RectifyInPlace(TorchFunctionMode):
    """Turns `relu(x)` of fresh results into `relu_(x)` within a model's own forward code.

    Wrong where the model still needs x; `choose_stack` finds that out by its numbers.

    Args:
        inputs: not a fresh result.
        maps: results that are looked at later, as they come about.
    """

    def __init__(
        self, inputs: torch.Tensor, maps: Mapping[str, torch.Tensor] | None = None
    ) -> None:
        super().__init__()
        self.inputs = inputs
        self.maps = {} if maps is None else maps

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run a function, a rectifier in place."""
        if func is functional.relu and args and self._fresh(args[0]):
            return torch.relu_(args[0])
        return func(*args, **(kwargs or {}))

    def _fresh(self, x: Any) -> bool:
        return x is not self.inputs and all(x is not kept for kept in self.maps.values())
