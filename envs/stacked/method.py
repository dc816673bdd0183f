"""A method of a model as a module: what `torch.fx` traces and `functional_call` calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from l2o.guidance import LayerMaps


class Method(nn.Module):
    """Its forward is a method of `model`, which is a submodule under this name.

    Args:
        model: any.
        method: name of a method that takes one tensor.
        layers: names of layers whose outputs are returned, too, as a tuple.
    """

    def __init__(self, model: nn.Module, method: str, layers: Sequence[str] = ()) -> None:
        super().__init__()
        self.model = model
        self.method = method
        self.layers = layers

    def forward(self, x: Tensor) -> Any:
        """Call it."""
        if not self.layers:
            return getattr(self.model, self.method)(x)
        with LayerMaps(self.model, self.layers) as caught:
            out = getattr(self.model, self.method)(x)
            return out, tuple(caught.maps[name] for name in self.layers)
