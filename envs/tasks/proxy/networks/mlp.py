"""A multi-layer perceptron on pixels."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional

from l2o.envs.tasks.proxy.images import SIDE
from l2o.envs.tasks.proxy.networks.base import Shape, SmallNetwork, build

_HIDDEN = 12


class MLPNetwork(SmallNetwork):
    """Hidden layers `fc1`, ... of 12 x width units with ReLU, on images of half the resolution."""

    depths: ClassVar[tuple[int, ...]] = (2, 3, 4)

    @classmethod
    def count_layers(cls, depth: int) -> int:
        """Return hidden layers and head."""
        return depth + 1

    def make_backbone(self, shape: Shape) -> int:
        """Make the hidden layers."""
        inputs, units = 3 * (SIDE // 2) ** 2, _HIDDEN * shape.width
        for index in range(1, shape.depth + 1):
            self.add_module(f"fc{index}", build(nn.Linear, inputs, units))
            inputs = units
        return units

    def forward_features(self, x: Tensor) -> Tensor:
        """Return the last hidden layer's activations."""
        x = functional.avg_pool2d(x, 2).flatten(1)
        for index in range(1, self.shape.depth + 1):
            x = functional.relu(self.get_submodule(f"fc{index}")(x))
        return x
