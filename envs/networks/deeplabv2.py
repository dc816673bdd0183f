"""DeepLabv2 on a ResNet: classes of pixels from dilated convolutions of several rates.

Source: Chen et al., DeepLab: Semantic Image Segmentation with Deep Convolutional Nets, Atrous
Convolution, and Fully Connected CRFs, TPAMI 2017; without the random field.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from l2o.envs.networks.adapter import Adapter

RATES = (6, 12, 18, 24)
"""Dilations of the paper's large pyramid."""


class Dilated(nn.Conv2d):
    """A dilated convolution that begins as the paper's.

    Args:
        channels: of the map.
        classes: of pixels.
        rate: its dilation.
    """

    def __init__(self, channels: int, classes: int, rate: int) -> None:
        super().__init__(channels, classes, 3, padding=rate, dilation=rate)

    def reset_parameters(self) -> None:
        """Draw weights from a normal of standard deviation 0.01; biases are 0."""
        nn.init.normal_(self.weight, std=0.01)
        assert self.bias is not None
        nn.init.zeros_(self.bias)


class Pyramid(nn.Module):
    """Dilated convolutions of several rates side by side, summed.

        sum over rates r of conv3x3 with dilation r (h)

    Args:
        channels: of the map.
        classes: of pixels.
    """

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.rates = nn.ModuleList(Dilated(channels, classes, rate) for rate in RATES)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits `[N, K, h, w]`."""
        first, *others = self.rates
        logits: Tensor = first(x)
        for layer in others:
            logits = logits + layer(x)
        return logits


class DeepLabV2(Adapter):
    """A ResNet of stride 8 whose last two stages are dilated, and the pyramid on it.

    Args:
        backbone: torchvision's ResNet by timm's convention; its weights are copied.
        dilated: the same ResNet, dilated; it is given the weights, and loses its last layer.
        classes: of pixels.
    """

    def __init__(self, backbone: Any, dilated: Any, classes: int) -> None:
        super().__init__(dilated)
        self.network.load_state_dict(backbone.network.state_dict())
        channels = dilated.fc.in_features
        self.network.fc = nn.Identity()
        self.features_of = backbone.cut.features
        self.classifier = Pyramid(channels, classes)

    def forward_features(self, x: Tensor) -> Tensor:
        """Return the last map `[N, C, H / 8, W / 8]`."""
        features: Tensor = self.features_of(self.network, x)
        return features

    def forward_head(self, features: Tensor) -> Tensor:
        """Return logits `[N, K, H / 8, W / 8]`."""
        logits: Tensor = self.classifier(features)
        return logits

    def get_classifier(self) -> nn.Module:
        """Return the pyramid."""
        return self.classifier
