"""Tensors cached on disk by the content that determines them."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from l2o.envs.runtime.cache_folder import cache_folder
from l2o.files.atomic import write_atomically
from l2o.files.seals import read_sealed, seal_bytes


def cache_path(kind: str, recipe: Mapping[str, Any]) -> Path:
    """Return the file for a recipe: its name holds the hash of the recipe's canonical JSON."""
    text = json.dumps(recipe, sort_keys=True, separators=(",", ":"))
    return cache_folder() / kind / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.safetensors"


def load_or_make(
    path: Path, make: Callable[[], dict[str, Tensor]], shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, Tensor]:
    """Load tensors from a cache file, or make them and write the file.

    A damaged file (or one whose tensors do not have the expected names and shapes) is made anew,
    with a warning. A folder that cannot be written costs the caching, not the result.
    """
    tensors = _load(path, shapes)
    if tensors is None:
        tensors = make()
        _save(path, tensors)
    return tensors


def _load(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor] | None:
    if not path.exists():
        return None
    try:
        # Not mapped into memory: a file that is cut meanwhile would kill the process.
        tensors = load(read_sealed(path, "it is made anew"))
        found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        if found != dict(shapes):
            raise ValueError(f"{path} holds {found}, not {dict(shapes)}; it is made anew")
    except (SafetensorError, OSError, ValueError) as error:
        told = (
            error
            if isinstance(error, ValueError)
            else f"{path} is damaged ({error}); it is made anew"
        )
        warnings.warn(f"cache file {told}", stacklevel=3)
        return None
    return tensors


def _save(path: Path, tensors: dict[str, Tensor]) -> None:
    content = save({name: tensor.contiguous() for name, tensor in tensors.items()})
    try:
        write_atomically(path, seal_bytes(content))
    except OSError as error:
        warnings.warn(f"cannot cache to {path} ({error.strerror}); set L2O_CACHE.", stacklevel=3)
