"""What the head and its last linear layer are given while a network runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from l2o.layers.caught import Caught

_LINEAR = (nn.Linear, nn.Conv2d)


@dataclass(frozen=True)
class LastLayer:
    """The linear layer that gives the logits.

    Attributes:
        inputs: what it was given, `[N, D]` or `[N, D, H, W]`.
        weight: of the classes, `[K, D]`.
        bias: `[K]`; zeros where it has none.
    """

    inputs: Tensor
    weight: Tensor
    bias: Tensor


class HeadInputs(Caught):
    """Keeps the newest input of a head, and of the last linear layer in it, by forward hooks.

    Args:
        head: a linear layer (`nn.Linear`, a 1×1 `nn.Conv2d`), or a module that holds some.

    Raises:
        ValueError: there is no linear layer in it.

    Example:
        >>> model = nn.Sequential(nn.Linear(2, 5), nn.ReLU(), nn.Linear(5, 3))
        >>> with HeadInputs(model[2]) as caught:
        ...     logits = model(torch.ones(4, 2))
        ...     caught.features.shape, caught.last.weight.shape
        (torch.Size([4, 5]), torch.Size([3, 5]))
    """

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        layers = [module for module in head.modules() if isinstance(module, _LINEAR)]
        if not layers:
            raise ValueError(
                f"the head, a {type(head).__name__}, holds no linear layer; give the classifier "
                "itself"
            )
        self.head, self.layer = head, layers[-1]
        self._handles = [
            head.register_forward_pre_hook(self._keep("features")),
            self.layer.register_forward_pre_hook(self._keep("inputs")),
        ]

    def _keep(self, name: str) -> Any:
        def keep(module: nn.Module, inputs: tuple[Any, ...]) -> None:
            del module
            self.maps[name] = inputs[0]

        return keep

    @property
    def features(self) -> Tensor:
        """What the head was given last."""
        return self.maps["features"]

    @property
    def last(self) -> LastLayer:
        """The last linear layer, with what it was given last."""
        weight = self.layer.weight.flatten(1)
        bias = torch.zeros_like(weight[:, 0]) if self.layer.bias is None else self.layer.bias
        return LastLayer(self.maps["inputs"], weight, bias)
