"""From a name to a pretrained network with a new head."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from l2o.envs.networks import LIBRARIES
from l2o.envs.networks.base import Inputs, Library, Original, PretrainedNetwork, Request
from l2o.envs.networks.heads import Choice, Fcn, Linear, Mlp, build_head
from l2o.envs.networks.own_networks import OwnLibrary, can_import
from l2o.envs.networks.small_maps import crop_kernels
from l2o.envs.networks.transformed import TransformedLibrary
from l2o.envs.networks.trimming import ProxyHead, example_image
from l2o.envs.networks.weights import (
    find_weights,
    hash_weights,
    is_package,
    read_weights,
)
from l2o.layers.groups import group_layers

_SEED = 0
"""Of what is not pretrained; a fine-tune draws its new head anew by its own seed."""


@dataclass(frozen=True)
class Copies:
    """Builds a network by copying one that stays as it is.

    Attributes:
        network: what is copied.
    """

    network: nn.Module

    def __call__(self) -> nn.Module:
        """Return a copy."""
        return copy.deepcopy(self.network)


def load_network(
    name: str,
    *,
    classes: int,
    pretrained: bool = True,
    weights: str | Path | None = None,
    head: Choice = "linear",
    inputs: Inputs | Mapping[str, Any] | None = None,
) -> PretrainedNetwork:
    """Return a pretrained network with a new head, and its own classifier as the proxy head.

    Args:
        name: `timm:NAME`, `torchvision:NAME`, `transformers:NAME`, `l2o:NAME`,
            `smp:ARCHITECTURE/ENCODER`, or `package.module:function` of your own. A ResNet of the
            first two may be made an IBN-Net: `timm:resnet50+ibn-a`, or `+ibn-b`.
        classes: outputs of the new head.
        pretrained: take the hub's weights, where no others are given; else weights are drawn, the
            same ones every time.
        weights: a local file, a state dict of `torch.save` or safetensors, or `package:NAME`.
        head: `linear`, `{name: mlp, hidden: 512}`, or `{name: fcn, output_stride: 16}`, which
            classifies pixels. A network that classifies pixels has a head of its own, and takes
            `linear` only.
        inputs: what images are to be like; or some fields of it, the others are the network's.

    Raises:
        ValueError: an unknown name or option, with the nearest match; weights that cannot be had or
            do not fit; a size that the network does not take.
        MissingExtraError: its library is not installed.

    Example:
        >>> network = load_network("timm:resnet10t", classes=12, pretrained=False)
        >>> network.proxy_classes, network.build().get_classifier().out_features
        (1000, 12)
    """
    if isinstance(classes, bool) or not isinstance(classes, int) or classes < 1:
        raise ValueError(f"classes={classes!r} must be a whole number from 1")
    chosen = build_head(head)
    library, architecture = find_library(name)
    given = _given(inputs)
    request = Request(
        name=name,
        architecture=architecture,
        pretrained=pretrained,
        weights=None if weights is None else read_weights(weights),
        by_position=is_package(weights),
        size=given.get("size"),
        arguments=_arguments(library, name, chosen),
    )
    with drawn():
        original = library.load(request)
        source = original.source if pretrained else "none: drawn"
        if weights is not None:
            source = str(weights) if is_package(weights) else find_weights(weights).name
        return _assemble(request, replace(original, source=source), chosen, classes, given)


def find_library(name: str) -> tuple[Library, str]:
    """Return the library that a network's name begins with, and the rest of the name.

    Raises:
        ValueError: it names neither a library nor a function of the user's own.
    """
    prefix, colon, architecture = name.partition(":")
    if colon and prefix in LIBRARIES:
        if not architecture:
            raise ValueError(f"network {name!r} names no architecture; write {prefix}:NAME")
        library: Library = LIBRARIES[prefix]()
        _, plus, transformation = architecture.partition("+")
        return (TransformedLibrary(library, transformation) if plus else library), architecture
    if can_import(name):
        return OwnLibrary(), name
    raise ValueError(_unknown(name))


def own_head(network: Any, image: Tensor) -> nn.Module:
    """Return a network's own classifier, frozen: features -> logits.

    Args:
        network: by timm's convention, as it was pretrained.
        image: one to try it with `[1, 3, H, W]`.
    """
    network.eval()
    with torch.no_grad():
        return ProxyHead(network, network.forward_features(image))


def with_head(
    original: Original, head: Linear | Mlp | Fcn, classes: int, image: Tensor
) -> nn.Module:
    """Return a network with its new head.

    Args:
        original: as it comes; its network is changed.
        head: the new one.
        classes: its outputs.
        image: one to try the network with `[1, 3, H, W]`.

    Raises:
        ValueError: a head that does not go with the network.
    """
    if original.dense is None:
        return head.put_on(original.network.eval(), classes, image)
    if not isinstance(head, Linear):
        raise ValueError(
            f"head {head.name}: this network classifies pixels and has a head of its own; leave "
            "head out"
        )
    return original.dense(classes)


@contextmanager
def drawn() -> Iterator[None]:
    """Let what is drawn within be the same every time; the global random state stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(_SEED)
        yield


def _arguments(library: Library, name: str, head: Linear | Mlp | Fcn) -> dict[str, Any]:
    """Return what the library's builder must be told for this head."""
    if not isinstance(head, Fcn) or head.output_stride is None:
        return {}
    return library.dilated(name, head.output_stride)


def _assemble(
    request: Request,
    original: Original,
    head: Linear | Mlp | Fcn,
    classes: int,
    given: Mapping[str, Any],
) -> PretrainedNetwork:
    inputs = replace(original.inputs, **given)
    digest = hash_weights(original.network)
    image = example_image(original.network, inputs.size)
    try:
        proxy = own_head(original.network, image)
        network: Any = with_head(original, head, classes, image)
        crop_kernels(network)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f"{request.name} does not take images of {list(inputs.size)}: "
            f"{str(error).partition(chr(10))[0] or type(error).__name__}; its own size is "
            f"{list(original.inputs.size)}"
        ) from error
    if hasattr(network, "proxy_of"):
        proxy = network.proxy_of(proxy).eval()
    with torch.no_grad():
        logits = proxy(network.eval().forward_features(image))
    if logits.dim() != 2:
        raise ValueError(
            f"{request.name} gives {tuple(logits.shape)} for one image, no logits [1, classes]; "
            "take an architecture with a classifier"
        )
    network.train().requires_grad_(True)
    architecture = request.architecture
    return PretrainedNetwork(
        name=request.name,
        build=Copies(network),
        proxy_head=proxy,
        inputs=inputs,
        classes=classes,
        proxy_classes=logits.shape[1],
        layers=len(group_layers(network, head=network.get_classifier())),
        description={
            "library": request.name.partition(":")[0],
            "architecture": architecture,
            "arguments": dict(original.arguments),
            "head": {"name": head.name, **asdict(head)},
            "weights": original.source,
            "weights_sha256": digest,
            "licence": original.licence,
            "parameters": sum(p.numel() for p in network.parameters()),
        },
    )


def _given(inputs: Inputs | Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the fields of the inputs that a user sets."""
    if inputs is None:
        return {}
    if isinstance(inputs, Inputs):
        return {each.name: getattr(inputs, each.name) for each in fields(Inputs)}
    known = [each.name for each in fields(Inputs)]
    for field in inputs:
        if field not in known:
            near = difflib.get_close_matches(field, known, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"inputs have no field {field!r}.{hint} Known: {', '.join(known)}.")
    given: dict[str, Any] = {
        key: tuple(v) if isinstance(v, list) else v for key, v in inputs.items()
    }
    if isinstance(given.get("size"), int):
        given["size"] = (given["size"], given["size"])
    Inputs(**given)  # it checks them
    return given


def _unknown(name: str) -> str:
    """Word the error for a name that is no network."""
    prefix, colon, architecture = name.partition(":")
    listed = "library:architecture with a library of " + ", ".join(LIBRARIES)
    near = ""
    if colon:
        close = difflib.get_close_matches(prefix, list(LIBRARIES), n=1, cutoff=0.5)
        near = f" Did you mean {f'{close[0]}:{architecture}'!r}?" if close else ""
    else:
        for library in LIBRARIES:
            if close := difflib.get_close_matches(name, _names(library), n=1, cutoff=0.7):
                near = f" Did you mean {f'{library}:{close[0]}'!r}?"
                break
    return (
        f"unknown network {name!r}.{near} A network's name reads {listed}, or "
        "package.module:function of your own, which must be importable from here."
    )


def _names(library: str) -> list[str]:
    try:
        return LIBRARIES[library]().names()
    except ModuleNotFoundError:
        return []
