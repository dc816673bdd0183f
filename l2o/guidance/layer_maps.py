"""The outputs of named layers, caught while a network runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from l2o.layers.caught import Caught
from l2o.registry import unknown_name


class LayerMaps(Caught):
    """Keeps the newest output of each named layer of a model, by forward hooks.

    Where the model goes on to change an output in place (`ReLU(inplace=True)`), the changed one is
    what is kept. `remove`, or leaving a `with` block, takes the hooks off.

    Args:
        model: any module.
        layers: dotted names, as in `model.named_modules()`.

    Attributes:
        maps: name -> output of the last forward pass; empty before it.

    Raises:
        ValueError: no names, or one that the model does not have; the message names the nearest.

    Example:
        >>> model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
        >>> with LayerMaps(model, ["1"]) as caught:
        ...     output = model(torch.ones(4, 2))
        ...     caught.maps["1"].shape
        torch.Size([4, 3])
    """

    def __init__(self, model: nn.Module, layers: Sequence[str]) -> None:
        super().__init__()
        modules = {name: module for name, module in model.named_modules() if name}
        if not layers:
            raise ValueError(f"name at least one layer; there are {', '.join(modules)}")
        for name in layers:
            if name not in modules:
                raise ValueError(unknown_name("layer", name, modules))
        self._handles = [modules[name].register_forward_hook(self._keep(name)) for name in layers]

    def _keep(self, name: str) -> Callable[[nn.Module, Any, Any], None]:
        def keep(module: nn.Module, inputs: Any, output: Any) -> None:
            del inputs
            if not isinstance(output, Tensor):
                raise ValueError(
                    f"layer {name!r}, a {type(module).__name__}, gives a {type(output).__name__}, "
                    "not a tensor; name one of the layers inside it"
                )
            self.maps[name] = output

        return keep
