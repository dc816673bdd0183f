"""Networks to time training steps with, in plain torch: a ResNet and a vision transformer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Residual(nn.Module):
    """relu(path(x) + shortcut(x)); the last convolution may be wider by `expansion`."""

    def __init__(self, inputs: int, width: int, stride: int, bottleneck: bool) -> None:
        super().__init__()
        outputs = width * 4 if bottleneck else width
        if bottleneck:
            layers = [
                *_convolution(inputs, width, 1, 1),
                nn.ReLU(),
                *_convolution(width, width, 3, stride),
                nn.ReLU(),
                *_convolution(width, outputs, 1, 1),
            ]
        else:
            layers = [
                *_convolution(inputs, width, 3, stride),
                nn.ReLU(),
                *_convolution(width, outputs, 3, 1),
            ]
        self.path = nn.Sequential(*layers)
        same = stride == 1 and inputs == outputs
        self.shortcut = (
            nn.Identity() if same else nn.Sequential(*_convolution(inputs, outputs, 1, stride))
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's features."""
        return torch.relu(self.path(x) + self.shortcut(x))


class ResNet(nn.Module):
    """A residual network for images (He et al., Deep Residual Learning, CVPR 2016).

    Args:
        blocks: residual blocks of each of the four stages.
        bottleneck: whether blocks are bottlenecks, as in ResNet-50.
        classes: outputs of the head.

    Example:
        >>> sum(p.numel() for p in ResNet((2, 2, 2, 2), classes=10).parameters())
        11181642
    """

    def __init__(
        self, blocks: Sequence[int], bottleneck: bool = False, classes: int = 1000
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            *_convolution(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, stride=2, padding=1)
        )
        stages, inputs = [], 64
        for number, count in enumerate(blocks):
            width = 64 * 2**number
            stage = []
            for index in range(count):
                stride = 2 if number and not index else 1
                stage.append(Residual(inputs, width, stride, bottleneck))
                inputs = width * 4 if bottleneck else width
            stages.append(nn.Sequential(*stage))
        self.layers = nn.Sequential(*stages)
        self.head = nn.Linear(inputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of images `[B, 3, H, W]`."""
        return self.head(self.layers(self.stem(x)).mean(dim=(2, 3)))


class Block(nn.Module):
    """Pre-norm attention and MLP, each with a residual connection."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's tokens `[B, T, width]`."""
        shape = (*x.shape[:2], 3, self.heads, -1)
        query, key, value = self.qkv(self.norm1(x)).view(shape).permute(2, 0, 3, 1, 4)
        mixed = nn.functional.scaled_dot_product_attention(query, key, value)
        x = x + self.out(mixed.transpose(1, 2).flatten(2))
        return x + self.mlp(self.norm2(x))


class VisionTransformer(nn.Module):
    """A vision transformer; the defaults are ViT-S (Touvron et al., DeiT, ICML 2021).

    Example:
        >>> model = VisionTransformer(size=64, patch=8, width=8, depth=2, heads=2, classes=5)
        >>> model(torch.zeros(3, 3, 64, 64)).shape
        torch.Size([3, 5])
    """

    def __init__(
        self,
        size: int = 224,
        patch: int = 16,
        width: int = 384,
        depth: int = 12,
        heads: int = 6,
        classes: int = 1000,
    ) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, patch, stride=patch)
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(torch.randn(1, (size // patch) ** 2 + 1, width) * 0.02)
        self.blocks = nn.Sequential(*[Block(width, heads) for _ in range(depth)])
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of images `[B, 3, size, size]`."""
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(len(x), -1, -1), tokens], dim=1) + self.positions
        return self.head(self.norm(self.blocks(tokens))[:, 0])


def _convolution(inputs: int, outputs: int, kernel: int, stride: int) -> list[nn.Module]:
    return [
        nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
    ]
