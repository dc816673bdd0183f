"""torchvision's networks that classify pixels, by timm's convention."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from l2o.envs.networks.adapter import Adapter
from l2o.envs.networks.packing import Packing

BACKBONES = {
    "fcn_resnet50": "resnet50",
    "fcn_resnet101": "resnet101",
    "deeplabv3_resnet50": "resnet50",
    "deeplabv3_resnet101": "resnet101",
    "deeplabv3_mobilenet_v3_large": "mobilenet_v3_large",
    "lraspp_mobilenet_v3_large": "mobilenet_v3_large",
}
"""Networks that classify pixels -> those for whole images that they are made of."""


class Segmentation(Adapter):
    """A network of torchvision's that classifies pixels.

    Its features are the backbone's last map, of stride 8 or 16.

    Args:
        network: torchvision's, without its auxiliary classifier.
    """

    def forward_features(self, x: Tensor) -> Tensor:
        """Return the last feature map `[N, C, h, w]`."""
        features: Tensor = self.network.backbone(x)["out"]
        return features

    def forward_head(self, features: Tensor) -> Tensor:
        """Return logits `[N, K, h, w]`."""
        logits: Tensor = self.network.classifier(features)
        return logits

    def get_classifier(self) -> nn.Module:
        """Return the head."""
        found: nn.Module = self.network.classifier
        return found


class Lraspp(Segmentation):
    """torchvision's LR-ASPP, whose head takes two feature maps: they are packed into one tensor.

    Args:
        network: torchvision's.
    """

    def __init__(self, network: Any) -> None:
        super().__init__(network)
        head = network.classifier
        channels = head.low_classifier.in_channels, head.cbr[0].in_channels
        self.packing = Packing(channels, halvings=(0, 1), up=True)

    def forward_features(self, x: Tensor) -> Tensor:
        """Return both feature maps, packed."""
        maps = self.network.backbone(x)
        return self.packing.pack([maps["low"], maps["high"]])

    def forward_head(self, features: Tensor) -> Tensor:
        """Return logits `[N, K, h, w]`."""
        low, high = self.packing.unpack(features)
        logits: Tensor = self.network.classifier({"low": low, "high": high})
        return logits

    def proxy_of(self, proxy_head: nn.Module) -> nn.Module:
        """Return the proxy head of packed maps."""
        return OfLast(proxy_head, self.packing)


class OfLast(nn.Module):
    """A proxy head on the last of the maps that are packed.

    Args:
        proxy_head: takes that map.
        packing: how they are packed.
    """

    def __init__(self, proxy_head: nn.Module, packing: Packing) -> None:
        super().__init__()
        self.proxy_head = proxy_head
        self.packing = packing

    def forward(self, features: Tensor) -> Tensor:
        """Return logits of images `[N, proxy classes]`."""
        logits: Tensor = self.proxy_head(self.packing.unpack(features)[-1])
        return logits


def make_segmentation(name: str, backbone: Any, classes: int) -> Segmentation:
    """Make a network of torchvision's that classifies pixels.

    Args:
        name: a key of `BACKBONES`.
        backbone: for whole images, the adapter of torchvision's; its weights are copied.
        classes: of pixels.
    """
    from torchvision.models import get_model

    network = get_model(name, weights=None, weights_backbone=None, num_classes=classes)
    # A mobile network's backbone is its `features`, and calls its layers by number.
    state = {n.removeprefix("features."): t for n, t in backbone.network.state_dict().items()}
    network.backbone.load_state_dict({n: state[n] for n in network.backbone.state_dict()})
    return Lraspp(network) if name.startswith("lraspp") else Segmentation(network)
