"""Plain convolutions."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional

from l2o.envs.tasks.proxy.networks.base import Shape, SmallNetwork, build

FEATURES = 64

_CONVOLUTIONS = {
    3: ((1, 1), (2, 2), (4, 2)),
    4: ((1, 1), (2, 2), (2, 1), (4, 2)),
    5: ((1, 1), (2, 2), (2, 1), (4, 2), (4, 1)),
}
"""Depth -> (channels as a multiple of the width, stride) of each 3x3 convolution."""


class ConvNetwork(SmallNetwork):
    """3x3 convolutions (`conv1`, ...), a hidden layer (`fc`) and a classifier (`head`).

    ReLU after every layer but the head, no normalisation layers: what the learning rate does to
    the weights is not hidden by rescaling, and training needs no modes.
    """

    depths: ClassVar[tuple[int, ...]] = tuple(_CONVOLUTIONS)
    usual_depth: ClassVar[int] = 4

    @classmethod
    def count_layers(cls, depth: int) -> int:
        """Return convolutions, hidden layer and head."""
        return depth + 2

    def make_backbone(self, shape: Shape) -> int:
        """Make the convolutions and the hidden layer."""
        self.strides = tuple(stride for _, stride in _CONVOLUTIONS[shape.depth])
        channels = 3
        for index, (multiple, stride) in enumerate(_CONVOLUTIONS[shape.depth], start=1):
            outputs = multiple * shape.width
            convolution = build(nn.Conv2d, channels, outputs, 3, stride=stride, padding=1)
            channels = outputs
            self.add_module(f"conv{index}", convolution)
        self.fc = build(nn.Linear, channels * 4 * 4, FEATURES)
        return FEATURES

    def forward_features(self, x: Tensor) -> Tensor:
        """Return the hidden layer's activations, `[N, 64]`."""
        for index in range(1, self.shape.depth + 1):
            x = functional.relu(self.get_submodule(f"conv{index}")(x))
        return functional.relu(self.fc(x.flatten(1)))
