"""A small MLP-Mixer."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional

from l2o.envs.tasks.proxy.images import SIDE
from l2o.envs.tasks.proxy.networks.base import Shape, SmallNetwork, build

_PATCH, _EMBEDDING = 4, 4


class MixerBlock(nn.Module):
    """Mixes tokens, then channels, each by a perceptron with a residual connection."""

    def __init__(self, tokens: int, width: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.token1 = build(nn.Linear, tokens, 2 * tokens)
        self.token2 = build(nn.Linear, 2 * tokens, tokens)
        self.norm2 = nn.LayerNorm(width)
        self.fc1 = build(nn.Linear, width, 2 * width)
        self.fc2 = build(nn.Linear, 2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Return `[N, T, D]`."""
        mixed = self.token2(functional.gelu(self.token1(self.norm1(x).transpose(1, 2))))
        x = x + mixed.transpose(1, 2)
        return x + self.fc2(functional.gelu(self.fc1(self.norm2(x))))


class MixerNetwork(SmallNetwork):
    """Patches of 4x4, tokens of 4 x width numbers, mixer blocks, mean over the tokens.

    Source: Tolstikhin et al., MLP-Mixer: An all-MLP Architecture for Vision.
    """

    depths: ClassVar[tuple[int, ...]] = (2, 3)

    @classmethod
    def count_layers(cls, depth: int) -> int:
        """Return embedding, blocks and head."""
        return depth + 2

    def make_backbone(self, shape: Shape) -> int:
        """Make embedding and blocks."""
        width = _EMBEDDING * shape.width
        self.embed = build(nn.Conv2d, 3, width, _PATCH, stride=_PATCH)
        tokens = (SIDE // _PATCH) ** 2
        self.blocks = nn.Sequential(*(MixerBlock(tokens, width) for _ in range(shape.depth)))
        self.norm = nn.LayerNorm(width)
        return width

    def forward_features(self, x: Tensor) -> Tensor:
        """Return the mean token, `[N, D]`."""
        tokens = self.embed(x).flatten(2).transpose(1, 2)
        return self.norm(self.blocks(tokens)).mean(dim=1)
