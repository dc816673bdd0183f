"""Convolutions whose last map is the features, without pooling: a head of many inputs."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional

from l2o.envs.tasks.proxy.networks.base import Shape, SmallNetwork, build

_CHANNELS, _PLACES = 16, 4 * 4


class FlatNetwork(SmallNetwork):
    """3x3 convolutions, one of size 1x1 that widens, and a head on all 256 x width numbers.

    With a width of 8 the head has 2,048 inputs, as that of a ResNet-50 has: its gradient is large
    beside the backbone's, so that one rate for both is far from right.
    """

    depths: ClassVar[tuple[int, ...]] = (2, 3, 4)

    @classmethod
    def count_layers(cls, depth: int) -> int:
        """Return convolutions, the one that widens, and head."""
        return depth + 2

    def make_backbone(self, shape: Shape) -> int:
        """Make the convolutions."""
        channels = 3
        for index in range(1, shape.depth + 1):
            stride, outputs = (2, shape.width * index) if index <= 2 else (1, 2 * shape.width)
            convolution = build(nn.Conv2d, channels, outputs, 3, stride=stride, padding=1)
            self.add_module(f"conv{index}", convolution)
            channels = outputs
        self.widen = build(nn.Conv2d, channels, _CHANNELS * shape.width, 1)
        return _PLACES * _CHANNELS * shape.width

    def forward_features(self, x: Tensor) -> Tensor:
        """Return all activations of the last map, `[N, 256 x width]`."""
        for index in range(1, self.shape.depth + 1):
            x = functional.relu(self.get_submodule(f"conv{index}")(x))
        return functional.relu(self.widen(x)).flatten(1)
