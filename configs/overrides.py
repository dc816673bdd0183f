"""`key=value` overrides: dotted keys into plain data, values read as YAML."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from typing import Any

from l2o.configs.errors import ConfigError
from l2o.configs.yaml_text import parse_yaml

_PART = r'"[^"]*"|[^.="]+'
_KEY = rf"(?:{_PART})(?:\.(?:{_PART}))*"
_OVERRIDE = re.compile(rf"(?P<key>{_KEY})=(?P<value>.*)", re.DOTALL)


def apply_overrides(data: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Return a copy of the data with each `key=value` set; later ones win.

    A key goes into mappings by name and into lists by index; a part that holds a dot itself is
    written in double quotes. Mappings that are not there yet are made.

    Raises:
        ConfigError: an override that is not `key=value`, or a key that leads through a value which
            is no mapping or list.

    Example:
        >>> apply_overrides({"a": {"b": 1}}, ["a.b=2", "a.c=[1e-3, x]"])
        {'a': {'b': 2, 'c': [0.001, 'x']}}
    """
    result = copy.deepcopy(data)
    problems = []
    for override in overrides:
        try:
            keys, value = parse_override(override)
            _set(result, keys, value)
        except ConfigError as error:
            problems.append(str(error))
    if problems:
        raise ConfigError("\n".join(problems))
    return result


def set_fields(data: dict[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of the data with each dotted key set to its value, as overrides are.

    Raises:
        ConfigError: a key that is none, or leads through a value which is no mapping or list.

    Example:
        >>> set_fields({"a": {"b": 1}}, {"a.b": {"c": 2}})
        {'a': {'b': {'c': 2}}}
    """
    result = copy.deepcopy(data)
    for key, value in fields.items():
        if re.fullmatch(_KEY, key) is None:
            raise ConfigError(f"{key!r} is not a field's dotted path, such as network.hidden")
        _set(result, _parts(key), copy.deepcopy(value))
    return result


def parse_override(override: str) -> tuple[list[str], Any]:
    """Return the key's parts and the value of one `key=value`.

    Example:
        >>> parse_override('rewards."my.module:Reward"=2')
        (['rewards', 'my.module:Reward'], 2)
    """
    match = _OVERRIDE.fullmatch(override)
    if match is None:
        raise ConfigError(
            f"{override!r} is not an override; write key=value with a dotted key, "
            "for instance finetuning.optimizer.name=adamw"
        )
    return _parts(match["key"]), parse_yaml(match["value"], f"value of {match['key']}")


def _parts(key: str) -> list[str]:
    return [part.strip('"') for part in re.findall(_PART, key)]


def _set(data: Any, keys: list[str], value: Any) -> None:
    for depth, key in enumerate(keys):
        last = depth == len(keys) - 1
        path = ".".join(keys[:depth])
        if isinstance(data, dict):
            if last:
                data[key] = value
            elif data.get(key) is None:
                data[key] = {}
            data = data[key]
        elif isinstance(data, list):
            index = _index(data, key, path)
            if last:
                data[index] = value
            data = data[index]
        else:
            raise ConfigError(
                f"{'.'.join(keys)} = {value!r}: {path} is {data!r}, which holds no {key!r}; "
                f"set {path} as a whole, for instance {path}={{...}}"
            )


def _index(data: list[Any], key: str, path: str) -> int:
    if not key.isdecimal() or int(key) >= len(data):
        raise ConfigError(
            f"{path}.{key}: {path} is a list of {len(data)}; "
            f"{key!r} must be an index from 0 to {len(data) - 1}"
            if data
            else f"{path}.{key}: {path} is an empty list; set it as a whole: {path}=[...]"
        )
    return int(key)
