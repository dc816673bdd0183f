"""The contract of these networks: timm's convention, weights drawn from a generator."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

_LAYERS = (nn.Conv2d, nn.Linear)


@dataclass(frozen=True)
class Shape:
    """Size of a network.

    Attributes:
        width: channels of the first convolution, or what stands for them.
        depth: number of convolutions or blocks.
    """

    width: int = 8
    depth: int = 4


class SmallNetwork(nn.Module, ABC):
    """A network that takes `[N, 3, 16, 16]`: a backbone and a linear classifier, `head`.

    Subclasses make their layers in `make_backbone`; the base makes the head and draws all weights.

    Args:
        shape: width and depth; what depths there are is told by `depths`.
        num_classes: size of the head.
        generator: draws the initial weights. Given explicitly, so that building a network never
            touches torch's global random state.
    """

    depths: ClassVar[tuple[int, ...]]
    """Depths that the architecture comes in."""
    usual_depth: ClassVar[int] = 2
    """The one that it has unless asked for another."""

    def __init__(self, shape: Shape, num_classes: int, generator: torch.Generator) -> None:
        super().__init__()
        self.shape = shape
        self.num_classes = num_classes
        self.num_features = self.make_backbone(shape)
        self.head = build(nn.Linear, self.num_features, num_classes)
        for layer in self.modules():
            if isinstance(layer, _LAYERS):
                draw_weights(layer, generator)
        self.draw_rest(generator)

    @classmethod
    @abstractmethod
    def count_layers(cls, depth: int) -> int:
        """Return the number of layer groups of a network of this depth, the head included."""

    @abstractmethod
    def make_backbone(self, shape: Shape) -> int:
        """Make all layers but the head; return the number of features."""

    def draw_rest(self, generator: torch.Generator) -> None:
        """Draw what is no weight of a convolution or linear layer."""

    @abstractmethod
    def forward_features(self, x: Tensor) -> Tensor:
        """Return the features `[N, num_features]` of images."""

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
        self.head = build(nn.Linear, self.num_features, num_classes)
        self.num_classes = num_classes
        draw_weights(self.head, generator or torch.Generator().manual_seed(0))


def build(kind: Callable[..., nn.Module], *arguments: Any, **options: Any) -> nn.Module:
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
