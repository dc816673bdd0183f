"""Where torchvision's networks are cut into features and head, by class of network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Cut:
    """How a class of torchvision's networks is run in two parts; together they are its `forward`.

    Attributes:
        features: network, images `[N, 3, H, W]` -> what is pooled.
        logits: network, features -> logits `[N, K]`.
        last: dotted name of the last layer; {} is the number of the last one in a container.
    """

    features: Callable[[Any, Tensor], Tensor]
    logits: Callable[[Any, Tensor], Tensor]
    last: str


def _convolutions(net: Any, x: Tensor) -> Tensor:
    features: Tensor = net.features(x)
    return features


def _dense_features(net: Any, x: Tensor) -> Tensor:
    # torchvision does it in place; these features are read twice.
    return functional.relu(net.features(x))


def _resnet_features(net: Any, x: Tensor) -> Tensor:
    x = net.maxpool(net.relu(net.bn1(net.conv1(x))))
    features: Tensor = net.layer4(net.layer3(net.layer2(net.layer1(x))))
    return features


def _regnet_features(net: Any, x: Tensor) -> Tensor:
    features: Tensor = net.trunk_output(net.stem(x))
    return features


def _shuffle_features(net: Any, x: Tensor) -> Tensor:
    x = net.stage3(net.stage2(net.maxpool(net.conv1(x))))
    features: Tensor = net.conv5(net.stage4(x))
    return features


def _mnas_features(net: Any, x: Tensor) -> Tensor:
    features: Tensor = net.layers(x)
    return features


def _swin_features(net: Any, x: Tensor) -> Tensor:
    features: Tensor = net.permute(net.norm(net.features(x)))
    return features


def _maxvit_features(net: Any, x: Tensor) -> Tensor:
    x = net.stem(x)
    for block in net.blocks:
        x = block(x)
    return x


def _vit_features(net: Any, x: Tensor) -> Tensor:
    x = net._process_input(x)
    token = net.class_token.expand(x.shape[0], -1, -1)
    features: Tensor = net.encoder(torch.cat([token, x], dim=1))
    return features


def _googlenet_features(net: Any, x: Tensor) -> Tensor:
    x = net._transform_input(x)
    x = net.conv3(net.conv2(net.maxpool1(net.conv1(x))))
    x = net.inception3b(net.inception3a(net.maxpool2(x)))
    x = net.inception4b(net.inception4a(net.maxpool3(x)))
    x = net.inception4e(net.inception4d(net.inception4c(x)))
    features: Tensor = net.inception5b(net.inception5a(net.maxpool4(x)))
    return features


def _inception_features(net: Any, x: Tensor) -> Tensor:
    x = net._transform_input(x)
    x = net.maxpool1(net.Conv2d_2b_3x3(net.Conv2d_2a_3x3(net.Conv2d_1a_3x3(x))))
    x = net.maxpool2(net.Conv2d_4a_3x3(net.Conv2d_3b_1x1(x)))
    x = net.Mixed_5d(net.Mixed_5c(net.Mixed_5b(x)))
    x = net.Mixed_6c(net.Mixed_6b(net.Mixed_6a(x)))
    x = net.Mixed_7a(net.Mixed_6e(net.Mixed_6d(x)))
    features: Tensor = net.Mixed_7c(net.Mixed_7b(x))
    return features


@dataclass(frozen=True)
class _Pooled:
    """Averages by the network's own module, then a layer."""

    layer: str

    def __call__(self, net: Any, x: Tensor) -> Tensor:
        logits: Tensor = getattr(net, self.layer)(torch.flatten(net.avgpool(x), 1))
        return logits


@dataclass(frozen=True)
class _Averaged:
    """Averages over places, then a layer."""

    layer: str

    def __call__(self, net: Any, x: Tensor) -> Tensor:
        logits: Tensor = getattr(net, self.layer)(x.mean([2, 3]))
        return logits


def _adaptive(net: Any, x: Tensor) -> Tensor:
    pooled = functional.adaptive_avg_pool2d(x, (1, 1))
    logits: Tensor = net.classifier(torch.flatten(pooled, 1))
    return logits


def _dropped(net: Any, x: Tensor) -> Tensor:
    logits: Tensor = net.fc(torch.flatten(net.dropout(net.avgpool(x)), 1))
    return logits


def _flattened(net: Any, x: Tensor) -> Tensor:
    return torch.flatten(net.classifier(x), 1)


def _convnext_logits(net: Any, x: Tensor) -> Tensor:
    logits: Tensor = net.classifier(net.avgpool(x))
    return logits


def _maxvit_logits(net: Any, x: Tensor) -> Tensor:
    logits: Tensor = net.classifier(x)
    return logits


def _swin_logits(net: Any, x: Tensor) -> Tensor:
    logits: Tensor = net.head(net.flatten(net.avgpool(x)))
    return logits


def _vit_logits(net: Any, x: Tensor) -> Tensor:
    logits: Tensor = net.heads(x[:, 0])
    return logits


CUTS: dict[str, Cut] = {
    "AlexNet": Cut(_convolutions, _Pooled("classifier"), "classifier.{}"),
    "VGG": Cut(_convolutions, _Pooled("classifier"), "classifier.{}"),
    "ResNet": Cut(_resnet_features, _Pooled("fc"), "fc"),
    "SqueezeNet": Cut(_convolutions, _flattened, "classifier.1"),
    "DenseNet": Cut(_dense_features, _adaptive, "classifier"),
    "Inception3": Cut(_inception_features, _dropped, "fc"),
    "GoogLeNet": Cut(_googlenet_features, _dropped, "fc"),
    "ShuffleNetV2": Cut(_shuffle_features, _Averaged("fc"), "fc"),
    "MobileNetV2": Cut(_convolutions, _adaptive, "classifier.{}"),
    "MobileNetV3": Cut(_convolutions, _Pooled("classifier"), "classifier.{}"),
    "MNASNet": Cut(_mnas_features, _Averaged("classifier"), "classifier.{}"),
    "RegNet": Cut(_regnet_features, _Pooled("fc"), "fc"),
    "EfficientNet": Cut(_convolutions, _Pooled("classifier"), "classifier.{}"),
    "VisionTransformer": Cut(_vit_features, _vit_logits, "heads.{}"),
    "ConvNeXt": Cut(_convolutions, _convnext_logits, "classifier.{}"),
    "SwinTransformer": Cut(_swin_features, _swin_logits, "head"),
    "MaxVit": Cut(_maxvit_features, _maxvit_logits, "classifier.{}"),
}
"""Cuts by the class of the network."""
