"""`extends: name`: a config that starts from another one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from l2o.configs.catalog import SUFFIXES, Kind, read_source
from l2o.configs.errors import ConfigError
from l2o.configs.yaml_text import parse_yaml


def read_config(kind: Kind, source: str | Path) -> tuple[str, dict[str, Any]]:
    """Return where a config is from and its plain data, with all it extends merged in.

    `extends` names a preset of the same kind, or a YAML path relative to the file.

    Raises:
        ConfigError: unreadable source, no mapping at the top, or configs that extend each other.
    """
    return _read(kind, source, ())


def merge(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return base with changes: mappings are merged, anything else replaces; `{}` empties.

    Example:
        >>> merge({"a": {"x": 1}, "b": {"y": 2}}, {"a": {"z": 3}, "b": {}})
        {'a': {'x': 1, 'z': 3}, 'b': {}}
    """
    result = dict(base)
    for key, value in changes.items():
        old = result.get(key)
        both = isinstance(old, dict) and isinstance(value, dict) and bool(value)
        result[key] = merge(old, value) if both else value  # type: ignore[arg-type]
    return result


def _read(kind: Kind, source: str | Path, above: tuple[str, ...]) -> tuple[str, dict[str, Any]]:
    where, text, folder = read_source(kind, source)
    if where in above:
        raise ConfigError(f"{where} extends itself: {' -> '.join((*above, where))}")
    data = parse_yaml(text, where)
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise ConfigError(f"{where}: must be a mapping of fields, got {data!r}")
    parent = data.pop("extends", None)
    if parent is None:
        return where, data
    if not isinstance(parent, str):
        raise ConfigError(f"{where}: extends = {parent!r}: must be a preset's name or a YAML path")
    if folder is not None and parent.endswith(SUFFIXES):
        return where, merge(_read(kind, folder / parent, (*above, where))[1], data)
    return where, merge(_read(kind, parent, (*above, where))[1], data)
