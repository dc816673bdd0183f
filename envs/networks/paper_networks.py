"""Networks of the papers that classify pixels, on torchvision's backbones: `l2o:NAME`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

from torch import nn

from l2o.envs.networks.base import Library, Original, Request
from l2o.envs.networks.deeplabv2 import DeepLabV2
from l2o.envs.networks.fcn8s import Fcn8s
from l2o.envs.networks.near import unknown_architecture
from l2o.envs.networks.torchvision_networks import load_classifier

NAMES = {
    "fcn8s_vgg16": "vgg16",
    "deeplabv2_resnet50": "resnet50",
    "deeplabv2_resnet101": "resnet101",
}
"""Networks -> their backbones in torchvision."""


class PaperLibrary(Library):
    """Networks that classify pixels, as papers have them, from weights of torchvision's backbones.

    `weights` are the backbone's: a state dict of torchvision's `vgg16`, `resnet50`, `resnet101`.
    """

    module: ClassVar[str] = "torchvision"

    def names(self) -> list[str]:
        """Return the networks there are."""
        return list(NAMES)

    def load(self, request: Request) -> Original:
        """Return a backbone, and what makes the network of it.

        Raises:
            ValueError: an unknown name, or weights that do not fit the backbone.
        """
        name, _, tag = request.architecture.partition(".")
        if name not in NAMES:
            known = self.names()
            raise ValueError(unknown_architecture("l2o", name, known, ", ".join(known)))
        # The papers' results are with the first published weights.
        original = load_classifier(request, NAMES[name], tag or "IMAGENET1K_V1")
        dense = partial(_make, name, original.network)
        return Original(**{**vars(original), "dense": dense, "arguments": {}})

    def how_to_load(self, architecture: str, arguments: Mapping[str, Any], classes: int) -> str:
        """Return the lines of Python that load a saved network back."""
        del architecture, arguments, classes
        return (
            "from l2o.envs.networks.saved import load_finetuned\n"
            'network = load_finetuned(".").network'
        )


def _make(name: str, backbone: Any, classes: int) -> nn.Module:
    if name == "fcn8s_vgg16":
        return Fcn8s(backbone, classes)
    from torchvision.models import get_model

    strides = [False, True, True]
    dilated = get_model(NAMES[name], weights=None, replace_stride_with_dilation=strides)
    return DeepLabV2(backbone, dilated, classes)
