"""Networks of segmentation_models_pytorch on timm's: `smp:ARCHITECTURE/ENCODER`."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from l2o.envs.networks.adapter import Adapter
from l2o.envs.networks.base import Library, Original, Request
from l2o.envs.networks.timm_networks import TimmLibrary
from l2o.envs.networks.trimming import example_image
from l2o.extras import MissingExtraError

_PACKAGE = "segmentation_models_pytorch"


class SmpLibrary(Library):
    """An architecture of segmentation_models_pytorch, and a network of timm's for its encoder.

    `smp:unet/resnet18`: the encoder is timm's `resnet18`, with timm's weights for ImageNet or those
    of a local file, and the proxy head is its classifier.
    """

    module: ClassVar[str] = _PACKAGE

    def names(self) -> list[str]:
        """Return the architectures there are; each takes any encoder."""
        return list(_smp().MODEL_ARCHITECTURES_MAPPING)

    def load(self, request: Request) -> Original:
        """Return the encoder as timm has it, and what makes the network of it.

        Raises:
            ValueError: an unknown architecture or encoder, or weights that do not fit the encoder.
            MissingExtraError: segmentation_models_pytorch is not installed.
        """
        known = self.names()
        architecture, slash, encoder = request.architecture.partition("/")
        if not slash or architecture.lower() not in known:
            near = difflib.get_close_matches(architecture.lower(), known, n=1)
            hint = f" Did you mean 'smp:{near[0]}/{encoder or 'resnet18'}'?" if near else ""
            raise ValueError(
                f"unknown network {request.name!r}.{hint} A name reads smp:ARCHITECTURE/ENCODER "
                f"with an architecture of {', '.join(known)} and a network of timm's"
            )
        original = TimmLibrary().load(replace(request, architecture=encoder, size=None))
        made = partial(_make, architecture.lower(), encoder, original.network)
        return Original(**{**vars(original), "dense": made, "arguments": {}})

    def how_to_load(self, architecture: str, arguments: Mapping[str, Any], classes: int) -> str:
        """Return the lines of Python that load a saved network with a linear head back."""
        del arguments
        name, _, encoder = architecture.partition("/")
        return (
            f"import {_PACKAGE} as smp\nfrom safetensors.torch import load_file\n"
            f'network = smp.create_model("{name}", "tu-{encoder}", None, classes={classes})\n'
            'network.load_state_dict(load_file("model.safetensors"))'
        )


class SmpNetwork(Adapter):
    """A network of segmentation_models_pytorch, by timm's convention.

    Its features are the encoder's maps, a tuple from large to small.

    Args:
        network: of the library, without a classification head.
    """

    def forward_features(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the encoder's maps; the first is the images."""
        self.network.check_input_shape(x)
        return tuple(self.network.encoder(x))

    def forward_head(self, features: Sequence[Tensor]) -> Tensor:
        """Return logits `[N, K, H, W]`."""
        logits: Tensor = self.network.segmentation_head(self.network.decoder(list(features)))
        return logits

    def get_classifier(self) -> nn.Module:
        """Return the last layer."""
        found: nn.Module = self.network.segmentation_head
        return found

    def proxy_of(self, proxy_head: nn.Module) -> nn.Module:
        """Return the proxy head of the encoder's maps."""
        return OfDeepest(proxy_head)


class OfDeepest(nn.Module):
    """A proxy head on the last of several maps.

    Args:
        proxy_head: takes that map.
    """

    def __init__(self, proxy_head: nn.Module) -> None:
        super().__init__()
        self.proxy_head = proxy_head

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Return logits of images `[N, proxy classes]`."""
        logits: Tensor = self.proxy_head(features[-1])
        return logits


def _make(architecture: str, encoder: str, timms: Any, classes: int) -> SmpNetwork:
    network = _smp().create_model(architecture, f"tu-{encoder}", None, classes=classes)
    # timm gives layers of feature extractors other names where it lays stages flat.
    state = {_flat(name): tensor for name, tensor in timms.state_dict().items()}
    own = network.encoder.state_dict()
    if not all(_flat(name.removeprefix("model.")) in state for name in own):
        raise ValueError(f"timm's {encoder!r} has other layers as an encoder; take another one")
    network.encoder.load_state_dict(
        {name: state[_flat(name.removeprefix("model."))] for name in own}
    )
    made, image = SmpNetwork(network.eval()), example_image(timms, (64, 64))
    with torch.no_grad():
        last, wanted = made.forward_features(image)[-1], timms.eval().forward_features(image)
    if last.shape != wanted.shape or not torch.allclose(last, wanted, rtol=1e-4, atol=1e-5):
        raise ValueError(
            f"the last map of timm's {encoder!r} as an encoder is not what its classifier takes "
            "(layers follow), so there would be no proxy; take a ResNet or a ConvNeXt"
        )
    return made


def _flat(name: str) -> str:
    return name.replace(".", "_")


def _smp() -> Any:
    try:
        return importlib.import_module(_PACKAGE)
    except ModuleNotFoundError as error:
        if error.name != _PACKAGE:
            raise
        told = f"a network of smp needs {_PACKAGE}: pip install segmentation-models-pytorch"
        raise MissingExtraError(told, name=_PACKAGE) from error
