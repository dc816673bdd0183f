"""The network of this family: fully convolutional, by timm's convention."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional

from l2o.envs.tasks.proxy.networks.base import build, draw_weights

_WIDTHS = (3, 8, 16, 16)

LAYERS = len(_WIDTHS)
"""Layer groups: the convolutions and the head."""


class ShapesNetwork(nn.Module):
    """3x3 convolutions with rectifiers, and a 1x1 convolution as a head that classifies pixels.

    Args:
        num_classes: channels of the head.
        generator: draws the initial weights.
    """

    def __init__(self, num_classes: int, generator: torch.Generator) -> None:
        super().__init__()
        for number, (inputs, outputs) in enumerate(itertools.pairwise(_WIDTHS), start=1):
            self.add_module(f"conv{number}", build(nn.Conv2d, inputs, outputs, 3, padding=1))
        self.head = build(nn.Conv2d, _WIDTHS[-1], num_classes, 1)
        for layer in self.children():
            draw_weights(layer, generator)

    def forward_features(self, x: Tensor) -> Tensor:
        """Return the features of pixels, `[N, 16, H, W]`."""
        for number in range(1, len(_WIDTHS)):
            x = functional.relu(self.get_submodule(f"conv{number}")(x))
        return x

    def forward_head(self, x: Tensor) -> Tensor:
        """Return the logits of pixels, `[N, K, H, W]`."""
        logits: Tensor = self.head(x)
        return logits

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of images' pixels."""
        return self.forward_head(self.forward_features(x))

    def get_classifier(self) -> nn.Module:
        """Return the head."""
        return self.head

    def reset_classifier(self, num_classes: int, generator: torch.Generator | None = None) -> None:
        """Replace the head by a fresh one; without a generator its weights come from seed 0."""
        self.head = build(nn.Conv2d, _WIDTHS[-1], num_classes, 1)
        draw_weights(self.head, generator or torch.Generator().manual_seed(0))
