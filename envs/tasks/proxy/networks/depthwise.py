"""Inverted residual blocks: depthwise convolutions between two of size 1x1."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional

from l2o.envs.tasks.proxy.networks.base import Shape, SmallNetwork, build

_EXPANSION = 3


class InvertedBlock(nn.Module):
    """Widen, convolve each channel alone, narrow; batch normalisation after each of them."""

    def __init__(self, channels: int, outputs: int, stride: int) -> None:
        super().__init__()
        inner = _EXPANSION * channels
        self.expand = build(nn.Conv2d, channels, inner, 1, bias=True)
        self.norm1 = nn.BatchNorm2d(inner)
        self.depthwise = build(
            nn.Conv2d, inner, inner, 3, stride=stride, padding=1, groups=inner, bias=True
        )
        self.norm2 = nn.BatchNorm2d(inner)
        self.project = build(nn.Conv2d, inner, outputs, 1, bias=True)
        self.norm3 = nn.BatchNorm2d(outputs)
        self.residual = stride == 1 and channels == outputs

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's activations; nothing rectifies them."""
        inner = functional.relu6(self.norm1(self.expand(x)))
        inner = functional.relu6(self.norm2(self.depthwise(inner)))
        out = self.norm3(self.project(inner))
        return x + out if self.residual else out


class DepthwiseNetwork(SmallNetwork):
    """A stem, inverted residual blocks, a last 1x1 convolution, mean pooling: a small MobileNet.

    Where rates of layers diverge in practice: depthwise filters are few numbers each, and batch
    normalisation makes what they put out independent of their size.

    Source: Sandler et al., MobileNetV2: Inverted Residuals and Linear Bottlenecks.
    """

    depths: ClassVar[tuple[int, ...]] = (3, 5)
    usual_depth: ClassVar[int] = 3

    @classmethod
    def count_layers(cls, depth: int) -> int:
        """Return stem, blocks, last convolution, each with its normalisation, and head."""
        return depth + 3

    def make_backbone(self, shape: Shape) -> int:
        """Make stem, blocks and last convolution."""
        channels = shape.width
        self.stem = nn.Sequential(
            build(nn.Conv2d, 3, channels, 3, stride=2, padding=1), nn.BatchNorm2d(channels)
        )
        blocks: list[nn.Module] = []
        for index in range(shape.depth):
            stride = 2 if index == 1 else 1
            blocks.append(InvertedBlock(channels, channels * stride, stride))
            channels *= stride
        self.blocks = nn.Sequential(*blocks)
        features = 4 * channels
        self.last = nn.Sequential(build(nn.Conv2d, channels, features, 1), nn.BatchNorm2d(features))
        return features

    def forward_features(self, x: Tensor) -> Tensor:
        """Return the mean over the last map, `[N, C]`."""
        x = self.blocks(functional.relu6(self.stem(x)))
        return functional.adaptive_avg_pool2d(functional.relu6(self.last(x)), 1).flatten(1)
