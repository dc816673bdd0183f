"""Networks of the user's own: `package.module:function`."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import nn

from l2o.envs.networks.base import Inputs, Library, Original, Request
from l2o.envs.networks.trimming import example_image
from l2o.envs.networks.weights import take_weights
from l2o.registry import lookup

CONVENTION = ("forward_features", "forward_head", "get_classifier")
"""What a network must have, beyond `forward`."""


class OwnLibrary(Library):
    """A function without arguments gives a network by timm's convention, with its classifier.

    Where the network has timm's `pretrained_cfg`, inputs are read from it. `reset_classifier` is
    used if there is one; else the classifier must be a linear layer or a 1x1 convolution.
    """

    module: ClassVar[str] = "torch"

    def names(self) -> list[str]:
        """Return nothing: they are the user's."""
        return []

    def load(self, request: Request) -> Original:
        """Return what the function gives.

        Raises:
            ValueError: it cannot be imported, gives no module, or one without the convention.
        """
        make: Any = lookup("network", {}, request.name)
        if not callable(make):
            raise ValueError(
                f"network {request.name!r} is {type(make).__name__}; give a function without "
                "arguments that returns the pretrained network"
            )
        network = make()
        inputs = _check(network, request)
        if request.weights is not None:
            take_weights(network, request.weights, request.name, request.by_position)
        return Original(network=network, inputs=inputs, source=request.name)

    def how_to_load(self, architecture: str, arguments: Mapping[str, Any], classes: int) -> str:
        """Return the lines of Python that load a saved network back."""
        del architecture, arguments, classes
        return (
            "from l2o.envs.networks.saved import load_finetuned\n"
            'network = load_finetuned(".", allow_code=True).network'
        )


def can_import(name: str) -> bool:
    """Tell whether a name reads `package.module:function` and there is such a module."""
    module, colon, function = name.partition(":")
    if not (colon and function.isidentifier() and all(map(str.isidentifier, module.split(".")))):
        return False
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError, AttributeError):
        return False


def _check(network: Any, request: Request) -> Inputs:
    """Raise ValueError unless a network follows timm's convention; return what it expects."""
    name = request.name
    if not isinstance(network, nn.Module):
        raise ValueError(f"network {name!r} returned {type(network).__name__}, no nn.Module")
    lacks = [each for each in CONVENTION if not callable(getattr(network, each, None))]
    if lacks:
        raise ValueError(
            f"network {name!r}, a {type(network).__name__}, has no {', '.join(lacks)}; a network "
            "that is fine-tuned follows timm's convention: forward_features(x), "
            "forward_head(features), get_classifier()"
        )
    inputs = Inputs()
    if getattr(network, "pretrained_cfg", None):
        from l2o.envs.networks.timm_networks import inputs_of

        inputs = inputs_of(network)
    training = network.training
    network.eval()
    image = example_image(network, request.size or inputs.size)
    called: Any = network
    with torch.no_grad():
        parts, whole = called.forward_head(called.forward_features(image)), called(image)
    network.train(training)
    if parts.device.type != "meta" and not torch.allclose(parts, whole, rtol=1e-4, atol=1e-5):
        raise ValueError(
            f"network {name!r}: forward_head(forward_features(x)) is not what the network gives of "
            "the same images; make forward the one after the other"
        )
    return inputs
