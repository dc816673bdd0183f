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
    """

    def __init__(self, kept: torch.Tensor) -> None:
        super().__init__()
        self.kept = kept

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run a function, a rectifier in place."""
        if func is functional.relu and args and args[0] is not self.kept:
            return torch.relu_(args[0])
        return func(*args, **(kwargs or {}))
