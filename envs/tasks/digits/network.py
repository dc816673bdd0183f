"""The small convolutional network of this family, after timm's convention."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

FEATURES = 64
"""Width of the last hidden layer, what `forward_features` returns."""

_CONVOLUTIONS = {
    3: ((1, 1), (2, 2), (4, 2)),
    4: ((1, 1), (2, 2), (2, 1), (4, 2)),
    5: ((1, 1), (2, 2), (2, 1), (4, 2), (4, 1)),
}
"""Depth -> (channels as a multiple of the width, stride) of each 3x3 convolution."""

DEPTHS = tuple(_CONVOLUTIONS)


@dataclass(frozen=True)
class Shape:
    """Architecture of a network: channels of its first convolution, number of convolutions."""

    width: int = 8
    depth: int = 4


class DigitsNetwork(nn.Module):
    """3x3 convolutions (`conv1`, ...), a hidden layer (`fc`) and a classifier (`head`).

    Takes `[N, 3, 16, 16]`. ReLU after every layer but the head, no normalisation layers: what the
    learning rate does to the weights is not hidden by rescaling, and training needs no modes.

    Args:
        shape: width and depth; the depth is one of 3, 4, 5.
        num_classes: size of the head.
        generator: draws the initial weights. Given explicitly, so that building a network never
            touches torch's global random state.
    """

    def __init__(self, shape: Shape, num_classes: int, generator: torch.Generator) -> None:
        super().__init__()
        self.shape = shape
        self.strides = tuple(stride for _, stride in _CONVOLUTIONS[shape.depth])
        self.num_features = FEATURES
        channels = 3
        for index, (multiple, stride) in enumerate(_CONVOLUTIONS[shape.depth], start=1):
            outputs = multiple * shape.width
            convolution = _build(nn.Conv2d, channels, outputs, 3, stride=stride, padding=1)
            channels = outputs
            self.add_module(f"conv{index}", convolution)
        self.fc = _build(nn.Linear, channels * 4 * 4, FEATURES)
        self.head = _build(nn.Linear, FEATURES, num_classes)
        self.num_classes = num_classes
        for layer in self.children():
            draw_weights(layer, generator)

    def forward_features(self, x: Tensor) -> Tensor:
        """Return the last hidden layer's activations, `[N, 64]`."""
        for index in range(1, self.shape.depth + 1):
            x = functional.relu(self.get_submodule(f"conv{index}")(x))
        return functional.relu(self.fc(x.flatten(1)))

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Return the logits of features; with `pre_logits`, the features as they are."""
        return x if pre_logits else self.head(x)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of images."""
        return self.forward_head(self.forward_features(x))

    def get_classifier(self) -> nn.Module:
        """Return the head."""
        return self.head

    def reset_classifier(self, num_classes: int, generator: torch.Generator | None = None) -> None:
        """Replace the head by a fresh one; without a generator its weights come from seed 0."""
        self.head = _build(nn.Linear, FEATURES, num_classes)
        self.num_classes = num_classes
        draw_weights(self.head, generator or torch.Generator().manual_seed(0))


def _build(kind: Callable[..., nn.Module], *arguments: Any, **options: Any) -> nn.Module:
    """Make a layer whose weights are drawn later; torch's global random state stays as it was.

    `nn.utils.skip_init` does so, too, in four times the time: by way of the meta device, where
    random numbers are drawn in Python.
    """
    with torch.random.fork_rng(devices=[]):
        return kind(*arguments, **options)


def draw_weights(layer: nn.Module, generator: torch.Generator) -> None:
    """Draw a layer's weights and bias as torch's own default does, from a generator."""
    weight, bias = layer.get_parameter("weight"), layer.get_parameter("bias")
    bound = 1.0 / math.sqrt(weight[0].numel())
    with torch.no_grad():
        weight.uniform_(-bound, bound, generator=generator)
        bias.uniform_(-bound, bound, generator=generator)
