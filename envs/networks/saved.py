"""A fine-tuned network on disk: weights in its library's own names, and how to load them back."""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import nn

import l2o
from l2o.envs.networks.adapter import own_state
from l2o.envs.networks.base import Inputs, PretrainedNetwork, Request
from l2o.envs.networks.heads import build_head
from l2o.envs.networks.load import drawn, find_library, with_head
from l2o.envs.networks.own_networks import OwnLibrary
from l2o.envs.networks.trimming import example_image
from l2o.envs.networks.weights import load_checked
from l2o.files.atomic import DamagedFileError, read_bytes, write_atomically
from l2o.files.seals import read_json, write_json

WEIGHTS, CARD = "model.safetensors", "model.json"
"""The files of a saved network."""
FORMAT = 1
"""Of the card; raised when it changes."""
_OF_PRETRAINING = ("weights", "weights_sha256", "licence", "parameters")
_FIELDS = ("name", "arguments", "head", "outputs", "classes", "inputs", "weights_sha256")
_REMEDY = "fine-tune again, or give the folder of a finished run"


@dataclass(frozen=True, kw_only=True)
class FinetunedNetwork:
    """A network that was fine-tuned, ready to be used.

    Attributes:
        network: in evaluation mode, on the CPU: images `[N, 3, H, W]` -> logits.
        inputs: what it expects of images.
        classes: names of its outputs, in their order; () where they have none.
        name: of the pretrained network, `library:architecture`.
        card: all that is known of it, JSON-able.
    """

    network: nn.Module
    inputs: Inputs
    classes: tuple[str, ...]
    name: str
    card: Mapping[str, Any]


def save_network(
    model: nn.Module,
    network: PretrainedNetwork,
    folder: str | Path,
    classes: Sequence[str] = (),
) -> Path:
    """Write a fine-tuned network: `model.safetensors` and `model.json`.

    Tensors have the names that they have in the network's library, so that a network with a linear
    head is loaded by the library alone; the card says how. Files are written whole.

    Args:
        model: the fine-tuned network, as `network.build` makes it.
        network: what was fine-tuned.
        folder: where to.
        classes: names of the outputs, in their order.

    Returns:
        The folder.

    Raises:
        ValueError: not as many names as outputs, or a model of another network.
        OSError: it cannot be written.
    """
    if classes and len(classes) != network.classes:
        raise ValueError(
            f"{len(classes)} names of classes for a network of {network.classes} outputs; give one "
            "for each, in the order of labels"
        )
    folder = Path(folder)
    library, architecture = find_library(network.name)
    # What torch.compile returns is a wrapper.
    state = own_state(getattr(model, "_orig_mod", model))
    tensors = {n: t.detach().cpu().contiguous().clone() for n, t in state.items()}
    content = save(tensors, metadata={"format": "pt"})
    write_atomically(folder / WEIGHTS, content)
    for name, text in library.more_files(model, classes).items():
        write_atomically(folder / name, text)
    arguments = dict(network.description["arguments"])
    plain = network.description["head"]["name"] == "linear"
    how = library if plain else OwnLibrary()
    card = {
        "format": FORMAT,
        "name": network.name,
        "library": network.description["library"],
        "architecture": architecture,
        "arguments": arguments,
        "head": network.description["head"],
        "outputs": network.classes,
        "classes": list(classes),
        "inputs": asdict(network.inputs),
        "load": how.how_to_load(architecture, arguments, network.classes).splitlines(),
        "pretrained": {k: v for k, v in network.description.items() if k in _OF_PRETRAINING},
        "packages": _versions(library.module),
        "weights_sha256": hashlib.sha256(content).hexdigest(),
    }
    write_json(folder / CARD, card)
    return folder


def load_finetuned(folder: str | Path, allow_code: bool = False) -> FinetunedNetwork:
    """Load a network that `save_network` wrote; nothing in its files is executed.

    Args:
        folder: with `model.safetensors` and `model.json`.
        allow_code: whether a network of the user's own may be made by the function that its card
            names, `package.module:function`.

    Raises:
        DamagedFileError: a file is missing or damaged.
        ValueError: a newer format, an unknown network, or code that is not allowed.
        MissingExtraError: the network's library is not installed.

    Example:
        >>> found = load_finetuned("runs/mine/model")
        >>> found.classes[found.network(images)[0].argmax()]
        'bicycle'
    """
    folder = Path(folder)
    card = _read_card(folder)
    content = read_bytes(folder / WEIGHTS, _REMEDY)
    if hashlib.sha256(content).hexdigest() != card["weights_sha256"]:
        reason = f"is damaged (its SHA-256 is not the one in {CARD})"
        raise DamagedFileError(folder / WEIGHTS, reason, _REMEDY)
    try:
        state = load(content)
    except SafetensorError as error:
        raise DamagedFileError(folder / WEIGHTS, f"is damaged ({error})", _REMEDY) from error
    name, head = card["name"], build_head(card["head"])
    library, architecture = find_library(name)
    if isinstance(library, OwnLibrary) and not allow_code:
        raise ValueError(
            f"{folder / CARD} names code, {name!r}, which makes the network; if you trust it, load "
            "it with allow_code=True"
        )
    plain: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in card["inputs"].items()
    }
    inputs = Inputs(**plain)
    request = Request(
        name=name, architecture=architecture, pretrained=False, arguments=card["arguments"]
    )
    with drawn():
        original = library.load(request)
        image = example_image(original.network, inputs.size)
        network = with_head(original, head, card["outputs"], image)
    load_checked(network, state, f"{folder / WEIGHTS} of {name}")
    return FinetunedNetwork(
        network=network.eval(),
        inputs=inputs,
        classes=tuple(card["classes"]),
        name=name,
        card=card,
    )


def _read_card(folder: Path) -> dict[str, Any]:
    path = folder / CARD
    card = read_json(path, _REMEDY)
    if card.get("format") != FORMAT:
        raise ValueError(
            f"{path} is of format {card.get('format')!r}, and this l2o {l2o.__version__} reads "
            f"{FORMAT}; load it with the release that wrote it ({card.get('packages')})"
        )
    lacks = [name for name in _FIELDS if name not in card]
    if lacks:
        raise DamagedFileError(path, f"has no {', '.join(lacks)}", _REMEDY)
    return card


def _versions(library: str) -> dict[str, str]:
    found = {"l2o": l2o.__version__}
    for name in dict.fromkeys(("torch", library)):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
