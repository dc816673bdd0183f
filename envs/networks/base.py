"""The contract of pretrained networks: what a library's network must tell to be fine-tuned."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn


@dataclass(frozen=True)
class Inputs:
    """What a network expects of its images: facts of the network, not of the script.

    Attributes:
        size: height and width.
        mean: of each channel, of pixels in [0, 1].
        std: of each channel.
        interpolation: how images are scaled: bilinear, bicubic, nearest.
        crop_share: share of the shorter side that the centre crop of scoring keeps.
    """

    size: tuple[int, int] = (224, 224)
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    interpolation: str = "bilinear"
    crop_share: float = 0.875


@dataclass(frozen=True, kw_only=True)
class PretrainedNetwork:
    """A pretrained network that is to be fine-tuned with a new head.

    Attributes:
        name: as it was asked for, `library:architecture`.
        build: makes the network on the CPU, the same pretrained weights every time, with its *new*
            head, by timm's convention: `forward_features(x)`, `forward_head(features)`,
            `get_classifier()` (the new head), `forward(x)`.
        proxy_head: the pretrained classifier, frozen: what `forward_features` gives -> logits
            `[N, proxy classes]`; of a network that classifies pixels, too: of whole images, after
            global average pooling.
        inputs: what it expects of images.
        classes: outputs of the new head.
        proxy_classes: outputs of the proxy head.
        layers: number of layer groups.
        description: JSON-able facts for cards and reports (library, weights, their hash, licence).
    """

    name: str
    build: Callable[[], nn.Module]
    proxy_head: nn.Module
    inputs: Inputs
    classes: int
    proxy_classes: int
    layers: int
    description: Mapping[str, Any] = field(default_factory=dict)
