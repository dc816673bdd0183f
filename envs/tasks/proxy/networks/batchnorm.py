"""Residual blocks with batch normalisation."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional

from l2o.envs.tasks.proxy.networks.base import Shape, SmallNetwork, build


class BatchNormBlock(nn.Module):
    """x ← relu(shortcut(x) + norm(conv(relu(norm(conv(x))))))."""

    def __init__(self, channels: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = build(nn.Conv2d, channels, outputs, 3, stride=stride, padding=1)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = build(nn.Conv2d, outputs, outputs, 3, padding=1)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or channels != outputs:
            self.shortcut = build(nn.Conv2d, channels, outputs, 1, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's activations."""
        inner = functional.relu(self.norm1(self.conv1(x)))
        return functional.relu(self.shortcut(x) + self.norm2(self.conv2(inner)))


class BatchNormNetwork(SmallNetwork):
    """A stem, residual blocks with batch normalisation, mean pooling: a small ResNet.

    Source: He et al., Deep Residual Learning for Image Recognition.
    """

    depths: ClassVar[tuple[int, ...]] = (2, 3, 4)

    @classmethod
    def count_layers(cls, depth: int) -> int:
        """Return stem, blocks and head."""
        return depth + 2

    def make_backbone(self, shape: Shape) -> int:
        """Make stem and blocks."""
        self.stem = build(nn.Conv2d, 3, shape.width, 3, padding=1)
        channels = shape.width
        blocks: list[nn.Module] = []
        for index in range(shape.depth):
            # As of the network with group normalisation: two halvings, channels double there.
            stride = 2 if index < 2 else 1
            blocks.append(BatchNormBlock(channels, channels * stride, stride))
            channels *= stride
        self.blocks = nn.Sequential(*blocks)
        return channels

    def forward_features(self, x: Tensor) -> Tensor:
        """Return the mean over the last map, `[N, C]`."""
        x = self.blocks(functional.relu(self.stem(x)))
        return functional.adaptive_avg_pool2d(x, 1).flatten(1)
