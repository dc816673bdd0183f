"""Convolutional blocks with layer normalisation."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional

from l2o.envs.tasks.proxy.networks.base import Shape, SmallNetwork, build

_EMBEDDING = 4


class LayerNormBlock(nn.Module):
    """x ← x + fc2(gelu(fc1(norm(depthwise(x))))), the perceptron at each place alone."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = build(nn.Conv2d, channels, channels, 3, padding=1, groups=channels)
        self.norm = nn.LayerNorm(channels)
        self.fc1 = build(nn.Linear, channels, 2 * channels)
        self.fc2 = build(nn.Linear, 2 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return `[N, C, H, W]`."""
        places = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        return x + self.fc2(functional.gelu(self.fc1(places))).permute(0, 3, 1, 2)


class LayerNormNetwork(SmallNetwork):
    """A stem of stride 2, blocks, one halving of the resolution among them: a small ConvNeXt.

    Source: Liu et al., A ConvNet for the 2020s.
    """

    depths: ClassVar[tuple[int, ...]] = (2, 4)

    @classmethod
    def count_layers(cls, depth: int) -> int:
        """Return stem, blocks, the halving, and head."""
        return depth + 3

    def make_backbone(self, shape: Shape) -> int:
        """Make stem, two stages of blocks, and the halving between them."""
        width = _EMBEDDING * shape.width
        first = shape.depth // 2
        self.stem = build(nn.Conv2d, 3, width, 3, stride=2, padding=1)
        self.stage1 = nn.Sequential(*(LayerNormBlock(width) for _ in range(first)))
        self.halve = build(nn.Conv2d, width, 2 * width, 2, stride=2)
        rest = shape.depth - first
        self.stage2 = nn.Sequential(*(LayerNormBlock(2 * width) for _ in range(rest)))
        self.norm = nn.LayerNorm(2 * width)
        return 2 * width

    def forward_features(self, x: Tensor) -> Tensor:
        """Return the mean over the last map, normalised at each place, `[N, C]`."""
        x = self.stage2(self.halve(self.stage1(functional.gelu(self.stem(x)))))
        return self.norm(x.permute(0, 2, 3, 1)).mean(dim=(1, 2))
