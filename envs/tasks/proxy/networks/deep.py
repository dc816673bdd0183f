"""Many thin layers: a residual perceptron."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional

from l2o.envs.tasks.proxy.images import SIDE
from l2o.envs.tasks.proxy.networks.base import Shape, SmallNetwork, build

_UNITS = 10


class DeepBlock(nn.Module):
    """x ← x + fc(relu(norm(x)))."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(units)
        self.fc = build(nn.Linear, units, units)

    def forward(self, x: Tensor) -> Tensor:
        """Return `[N, D]`."""
        return x + self.fc(functional.relu(self.norm(x)))


class DeepNetwork(SmallNetwork):
    """A linear map of images of half the resolution, and up to 28 residual layers of 10 x width.

    It has as many layer groups as a ResNet-50 has blocks, and more, at next to no cost.

    Source: He et al., Identity Mappings in Deep Residual Networks, with layer normalisation.
    """

    depths: ClassVar[tuple[int, ...]] = (8, 14, 28)
    usual_depth: ClassVar[int] = 8

    @classmethod
    def count_layers(cls, depth: int) -> int:
        """Return first layer, blocks and head."""
        return depth + 2

    def make_backbone(self, shape: Shape) -> int:
        """Make first layer and blocks."""
        units = _UNITS * shape.width
        self.embed = build(nn.Linear, 3 * (SIDE // 2) ** 2, units)
        self.blocks = nn.Sequential(*(DeepBlock(units) for _ in range(shape.depth)))
        self.norm = nn.LayerNorm(units)
        return units

    def forward_features(self, x: Tensor) -> Tensor:
        """Return the last layer's activations, normalised."""
        x = self.embed(functional.avg_pool2d(x, 2).flatten(1))
        return functional.relu(self.norm(self.blocks(x)))
