"""A small vision transformer."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from l2o.envs.tasks.proxy.images import SIDE
from l2o.envs.tasks.proxy.networks.base import Shape, SmallNetwork, build

_PATCH, _HEADS, _EMBEDDING = 4, 2, 4


class Attention(nn.Module):
    """Multi-head self-attention."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.qkv = build(nn.Linear, width, 3 * width)
        self.out = build(nn.Linear, width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Return `[N, T, D]`."""
        query, key, value = self.qkv(x).unflatten(-1, (3, _HEADS, -1)).unbind(-3)
        # Written out: at this size it is as fast as the fused form, and vmap has a rule for it.
        scores = torch.einsum("nqhd,nkhd->nhqk", query, key) / query.shape[-1] ** 0.5
        mixed = torch.einsum("nhqk,nkhd->nqhd", scores.softmax(-1), value)
        return self.out(mixed.flatten(-2))


class TransformerBlock(nn.Module):
    """x ← x + attention(norm(x)); x ← x + mlp(norm(x))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width)
        self.norm2 = nn.LayerNorm(width)
        self.fc1 = build(nn.Linear, width, 2 * width)
        self.fc2 = build(nn.Linear, 2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Return `[N, T, D]`."""
        x = x + self.attention(self.norm1(x))
        return x + self.fc2(functional.gelu(self.fc1(self.norm2(x))))


class ViTNetwork(SmallNetwork):
    """Patches of 4x4, tokens of 4 x width numbers, transformer blocks, mean over the tokens.

    Source: Dosovitskiy et al., An Image is Worth 16x16 Words; mean pooling instead of a class
    token, as Beyer et al., Better plain ViT baselines for ImageNet-1k.
    """

    depths: ClassVar[tuple[int, ...]] = (2, 3)

    @classmethod
    def count_layers(cls, depth: int) -> int:
        """Return embedding, blocks, last normalisation with its block, and head."""
        return depth + 2

    def make_backbone(self, shape: Shape) -> int:
        """Make embedding and blocks."""
        width = _EMBEDDING * shape.width
        self.embed = build(nn.Conv2d, 3, width, _PATCH, stride=_PATCH)
        self.position = nn.Parameter(torch.zeros(1, (SIDE // _PATCH) ** 2, width))
        self.blocks = nn.Sequential(*(TransformerBlock(width) for _ in range(shape.depth)))
        self.norm = nn.LayerNorm(width)
        return width

    @torch.no_grad()
    def draw_rest(self, generator: torch.Generator) -> None:
        """Draw the positions."""
        self.position.normal_(0.0, 0.02, generator=generator)

    def forward_features(self, x: Tensor) -> Tensor:
        """Return the mean token, `[N, D]`."""
        tokens = self.embed(x).flatten(2).transpose(1, 2) + self.position
        return self.norm(self.blocks(tokens)).mean(dim=1)
