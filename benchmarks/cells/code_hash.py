"""Hashes of settings, and of the code they name by dotted paths: what is changed is run anew."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

_DOTTED = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


def hash_settings(content: object) -> str:
    """Return the hash of plain JSON data, whatever the order of its keys.

    Example:
        >>> hash_settings({"a": 1, "b": 2}) == hash_settings({"b": 2, "a": 1})
        True
    """
    return _digest(json.dumps(content, sort_keys=True).encode())


def hash_code(settings: object) -> dict[str, str]:
    """Return dotted path -> hash of the file that defines it, for every one in the settings.

    Files that a file imports are not covered: whoever changes those alone, takes another folder.

    Args:
        settings: plain JSON data; policies, rules, schedules, profiles, guidance, optimizers and
            tasks of one's own are `package.module:Name` wherever they are named.

    Example:
        >>> sorted(hash_code({"policy": "l2o.deciding.policy:Policy", "rule": "auto_rgn"}))
        ['l2o.deciding.policy:Policy']
    """
    found = {}
    for path in sorted(set(_dotted(settings))):
        file = _file(path.partition(":")[0])
        if file is not None:
            found[path] = _hash(file, file.stat().st_mtime_ns)
    return found


def _dotted(settings: object) -> Iterator[str]:
    if isinstance(settings, str):
        if _DOTTED.fullmatch(settings):
            yield settings
    elif isinstance(settings, dict):
        for key, value in settings.items():
            yield from _dotted(key)
            yield from _dotted(value)
    elif isinstance(settings, list):
        for value in settings:
            yield from _dotted(value)


def _file(module: str) -> Path | None:
    """Return where a module is defined; None for what is no module, which who builds it tells."""
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return None
    known = spec is not None and spec.origin is not None and Path(spec.origin).is_file()
    return Path(str(spec.origin)) if known and spec is not None else None


@lru_cache(maxsize=256)
def _hash(file: Path, changed: int) -> str:
    del changed  # another time, another content
    return _digest(file.read_bytes())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
