"""New heads: what is put where a network's own classifier was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from l2o.configs.schema import Named
from l2o.envs.build import build
from l2o.envs.networks.adapter import Adapter
from l2o.envs.networks.trimming import keep_called

Choice = str | Named | Mapping[str, Any]
"""A head's name, or name and options: `{name: mlp, hidden: 512}`."""
OUTPUT_STRIDES = (8, 16, 32)
"""How many pixels of an image there may be to a place of the map that `fcn` classifies."""


@dataclass(frozen=True)
class Linear:
    """One layer in the place of the network's own last one."""

    name: ClassVar[str] = "linear"

    def put_on(self, network: Any, classes: int, image: Tensor) -> nn.Module:
        """Return the network with a new head.

        Args:
            network: by timm's convention, with its own classifier; it is changed.
            classes: outputs of the new head.
            image: one to try the network with `[1, 3, H, W]`.
        """
        del image
        reset_classifier(network, classes)
        changed: nn.Module = network
        return changed


@dataclass(frozen=True)
class Mlp:
    """Two layers in the place of the network's own last one.

        W2 relu(W1 h + b1) + b2

    Source: Chen et al., Automated Synthetic-to-Real Generalization, with 512 of a ResNet's 2,048.

    Args:
        hidden: width of the layer between.

    Raises:
        ValueError: it is not at least 1.
    """

    name: ClassVar[str] = "mlp"

    hidden: int = 512

    def __post_init__(self) -> None:
        _check_width("mlp", self.hidden)

    def put_on(self, network: Any, classes: int, image: Tensor) -> nn.Module:
        """Return the network with a new head.

        Args:
            network: by timm's convention, with its own classifier; it is changed.
            classes: outputs of the new head.
            image: one to try the network with `[1, 3, H, W]`.

        Raises:
            ValueError: its last layer is neither linear nor a 1x1 convolution.
        """
        del image
        reset_classifier(network, classes)
        for path, layer in last_layers(network, "head mlp"):
            network.set_submodule(path, self._instead_of(layer, classes))
        changed: nn.Module = network
        return changed

    def _instead_of(self, layer: nn.Linear | nn.Conv2d, classes: int) -> nn.Module:
        if isinstance(layer, nn.Linear):
            first = nn.Linear(layer.in_features, self.hidden)
            return nn.Sequential(first, nn.ReLU(), nn.Linear(self.hidden, classes))
        start = nn.Conv2d(layer.in_channels, self.hidden, 1)
        return nn.Sequential(start, nn.ReLU(), nn.Conv2d(self.hidden, classes, 1))


@dataclass(frozen=True)
class Fcn:
    """A head that classifies pixels, on the last feature map of a network for whole images.

        conv1x1(relu(conv3x3(h)))

    It has no batch norm: frozen before it has seen an image, one would normalise nothing.

    A network for whole images halves them five times, which leaves masks of small images two
    places wide. With an `output_stride` the last halvings are left out, and later convolutions are
    dilated instead, so that pretrained weights see the same neighbourhoods. Source: Chen et al.,
    DeepLab: Semantic Image Segmentation with Deep Convolutional Nets, Atrous Convolution, and
    Fully Connected CRFs.

    Args:
        hidden: width of the layer between; None is a quarter of the feature map's.
        output_stride: pixels of an image to a place of the map, 8, 16 or 32; None leaves the
            network as it is. Networks of timm and ResNets of torchvision can be made so.

    Raises:
        ValueError: `hidden` is not at least 1, or a stride that networks are not made with.
    """

    name: ClassVar[str] = "fcn"

    hidden: int | None = None
    output_stride: int | None = None

    def __post_init__(self) -> None:
        if self.hidden is not None:
            _check_width("fcn", self.hidden)
        if self.output_stride not in (None, *OUTPUT_STRIDES):
            raise ValueError(
                f"head fcn: output_stride={self.output_stride!r} must be one of "
                f"{list(OUTPUT_STRIDES)}, or left out"
            )

    def put_on(self, network: Any, classes: int, image: Tensor) -> nn.Module:
        """Return a network that classifies pixels; the one given is copied without its head.

        Args:
            network: by timm's convention, with its own classifier.
            classes: outputs of the new head.
            image: one to try the network with `[1, 3, H, W]`.

        Raises:
            ValueError: the network's features are no map.
        """
        return Dense(network, image, classes, self.hidden)


HEADS: dict[str, type[Linear | Mlp | Fcn]] = {"linear": Linear, "mlp": Mlp, "fcn": Fcn}
"""Heads by name."""


class Dense(Adapter):
    """A network for whole images, without its head, and a head that classifies pixels.

    Args:
        network: by timm's convention.
        image: one to try it with `[1, 3, H, W]`.
        classes: of pixels.
        hidden: width between; None is a quarter of the feature map's.

    Raises:
        ValueError: the network's features are no map.
    """

    def __init__(
        self, network: Any, image: Tensor, classes: int, hidden: int | None = None
    ) -> None:
        super().__init__(keep_called(network, lambda net: net.forward_features(image)))
        # timm says of some that their maps are [N, h, w, C].
        self.channels_last = str(getattr(network, "output_fmt", "")).endswith("NHWC")
        with torch.no_grad():
            features = self.forward_features(image)
        is_map = isinstance(features, Tensor) and features.dim() == 4
        if not is_map or features.shape[-2:].numel() == 1:
            found = tuple(features.shape) if isinstance(features, Tensor) else type(features)
            raise ValueError(
                "head fcn needs a feature map [N, C, h, w] of several places, and this network's "
                f"features are {found}; take a convolutional network of timm or torchvision, and "
                "images that are not too small, or an output_stride of 8 or 16"
            )
        channels = features.shape[1]
        width = hidden or max(1, channels // 4)
        self.classifier = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, classes, 1)
        ).to(features.device)

    def forward_features(self, x: Tensor) -> Tensor:
        """Return the last feature map `[N, C, h, w]`."""
        features: Tensor = self.network.forward_features(x)
        return features.permute(0, 3, 1, 2) if self.channels_last else features

    def forward_head(self, features: Tensor) -> Tensor:
        """Return logits `[N, K, h, w]`."""
        logits: Tensor = self.classifier(features)
        return logits

    def get_classifier(self) -> nn.Module:
        """Return the head."""
        return self.classifier

    def proxy_of(self, proxy_head: nn.Module) -> nn.Module:
        """Return the proxy head of these maps, of that of the network within."""
        return OfMaps(proxy_head, self.channels_last)


class OfMaps(nn.Module):
    """A proxy head of whole images on the maps that `Dense` gives.

    Args:
        proxy_head: that of the network within.
        channels_last: whether the network within gives `[N, h, w, C]`.
    """

    def __init__(self, proxy_head: nn.Module, channels_last: bool) -> None:
        super().__init__()
        self.proxy_head = proxy_head
        self.channels_last = channels_last

    def forward(self, features: Tensor) -> Tensor:
        """Return logits of images `[N, proxy classes]`."""
        logits: Tensor = self.proxy_head(
            features.permute(0, 2, 3, 1) if self.channels_last else features
        )
        return logits


def build_head(head: Choice) -> Linear | Mlp | Fcn:
    """Make the head that is asked for.

    Raises:
        ValueError: an unknown name or option, with the nearest match, or a value it refuses.

    Example:
        >>> build_head({"name": "mlp", "hidden": 8})
        Mlp(hidden=8)
    """
    if isinstance(head, Mapping):
        inline = {key: value for key, value in head.items() if key not in ("name", "options")}
        if "name" not in head:
            raise ValueError(f"head {dict(head)} has no name; write {{name: mlp, hidden: 512}}")
        head = Named(name=head["name"], options={**head.get("options", {}), **inline})
    made = build("head", HEADS, head)
    if not isinstance(made, Linear | Mlp | Fcn):
        raise ValueError(f"head {head!r} gives {type(made).__name__}; take one of {list(HEADS)}")
    return made


def reset_classifier(network: Any, classes: int) -> None:
    """Put a new last layer of so many outputs on a network by timm's convention, in place.

    Raises:
        ValueError: it has no `reset_classifier`, and its last layer is none that we know.
    """
    if callable(getattr(network, "reset_classifier", None)):
        network.reset_classifier(classes)
        return
    for path, layer in last_layers(network, "a new head"):
        network.set_submodule(path, resized(layer, classes))


class Absent(nn.Identity):
    """Stands where a last layer was taken away.

    Args:
        layer: what was there; a new one is made like it.
    """

    def __init__(self, layer: nn.Linear | nn.Conv2d) -> None:
        super().__init__()
        conv = isinstance(layer, nn.Conv2d)
        self.like = (conv, layer.weight.shape[1], layer.bias is not None)


def last_layers(network: Any, who: str) -> list[tuple[str, Any]]:
    """Return the last layers of a network, one but where it was distilled, with their names.

    Raises:
        ValueError: there is none, or it is neither linear nor a 1x1 convolution.
    """
    found = network.get_classifier()
    heads = list(found) if isinstance(found, tuple | list | nn.ModuleList) else [found]
    names = {id(module): name for name, module in network.named_modules() if name}
    layers: list[tuple[str, Any]] = []
    for head in heads:
        fits = isinstance(head, nn.Linear | Absent) or _is_pointwise(head)
        if not fits or id(head) not in names:
            raise ValueError(
                f"{who} needs a network whose get_classifier() is an nn.Linear or a 1x1 "
                f"nn.Conv2d, and this one's is {type(head).__name__}; take head: linear with a "
                "network that has reset_classifier(classes)"
            )
        layers.append((names[id(head)], head))
    return layers


def resized(layer: Any, classes: int) -> nn.Module:
    """Return a new last layer with so many outputs, of the kind of the one given; 0 is none.

    Raises:
        ValueError: it is neither a linear layer nor a convolution.
    """
    if not isinstance(layer, nn.Linear | nn.Conv2d | Absent):
        raise ValueError(
            f"the last layer is {type(layer).__name__}, and a new one can be made like an "
            "nn.Linear or a 1x1 nn.Conv2d; take another architecture, or one of your own with "
            "reset_classifier(classes)"
        )
    like = layer if isinstance(layer, Absent) else Absent(layer)
    if classes == 0:
        return like
    conv, width, bias = like.like
    return nn.Conv2d(width, classes, 1, bias=bias) if conv else nn.Linear(width, classes, bias=bias)


def _is_pointwise(layer: Any) -> bool:
    return isinstance(layer, nn.Conv2d) and layer.kernel_size == (1, 1) and layer.groups == 1


def _check_width(head: str, hidden: Any) -> None:
    if isinstance(hidden, bool) or not isinstance(hidden, int) or hidden < 1:
        raise ValueError(f"head {head}: hidden={hidden!r} must be a whole number from 1")
