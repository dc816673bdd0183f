"""In which fields two configs differ."""

from __future__ import annotations

from typing import Any

from l2o.configs.load import config_data
from l2o.configs.schema import Strict

_LONGEST = 200
"""Characters of a value that are shown."""


def differences(old: Strict, new: Strict) -> list[str]:
    """Return `path: old -> new` for each field that differs, in the schema's order.

    Example:
        >>> from l2o.configs.schema import TrainConfig
        >>> differences(TrainConfig(), TrainConfig(seed=3))
        ['seed: 0 -> 3']
    """
    return _differences(config_data(old), config_data(new), "")


def _differences(old: Any, new: Any, path: str) -> list[str]:
    parts, others = _parts(old, path), _parts(new, path)
    if not parts or not others or (_is_numbered(old) and len(old) != len(new)):
        return [] if old == new else [f"{path}: {_shown(old)} -> {_shown(new)}"]
    lines = []
    for part in dict.fromkeys((*parts, *others)):
        lines += _differences(parts.get(part), others.get(part), part)
    return lines


def _parts(value: Any, path: str) -> dict[str, Any]:
    """Return what is compared on its own, by its path: fields, or mappings of a list."""
    if isinstance(value, dict):
        return {f"{path}.{key}" if path else key: inner for key, inner in value.items()}
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        return {}
    names = range(len(value)) if _is_numbered(value) else [each["label"] for each in value]
    return {f"{path}[{name}]": each for name, each in zip(names, value, strict=True)}


def _is_numbered(value: Any) -> bool:
    """Tell whether it is a list whose entries have no labels to tell them apart by."""
    if not isinstance(value, list):
        return False
    labels = [each.get("label") if isinstance(each, dict) else None for each in value]
    return None in labels or "" in labels or len(set(map(str, labels))) < len(labels)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
