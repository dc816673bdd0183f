"""Residual blocks with group normalisation."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional

from l2o.envs.tasks.proxy.networks.base import Shape, SmallNetwork, build

_GROUPS = 4


class ResidualBlock(nn.Module):
    """x ← relu(shortcut(x) + norm(conv(relu(norm(conv(x))))))."""

    def __init__(self, channels: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = build(nn.Conv2d, channels, outputs, 3, stride=stride, padding=1)
        self.norm1 = self.norm(outputs)
        self.conv2 = build(nn.Conv2d, outputs, outputs, 3, padding=1)
        self.norm2 = self.norm(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or channels != outputs:
            self.shortcut = build(nn.Conv2d, channels, outputs, 1, stride=stride)

    def norm(self, channels: int) -> nn.Module:
        """Make a normalisation of so many channels."""
        return nn.GroupNorm(_GROUPS, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's activations."""
        inner = functional.relu(self.norm1(self.conv1(x)))
        return functional.relu(self.shortcut(x) + self.norm2(self.conv2(inner)))


class ResidualNetwork(SmallNetwork):
    """A stem, residual blocks in pairs of one resolution, mean pooling; after He et al.

    Source: He et al., Deep Residual Learning for Image Recognition; Wu and He, Group Normalization.
    """

    depths: ClassVar[tuple[int, ...]] = (2, 3, 4)
    block: ClassVar[type[ResidualBlock]] = ResidualBlock

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
            # Halve the resolution in the first two blocks, double the channels where it is halved.
            stride = 2 if index < 2 else 1
            outputs = channels * stride
            blocks.append(self.block(channels, outputs, stride))
            channels = outputs
        self.blocks = nn.Sequential(*blocks)
        return channels

    def forward_features(self, x: Tensor) -> Tensor:
        """Return the mean over the last map, `[N, C]`."""
        x = self.blocks(functional.relu(self.stem(x)))
        return functional.adaptive_avg_pool2d(x, 1).flatten(1)
