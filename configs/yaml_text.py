"""YAML in and out, by the core rules of YAML 1.2: `1e-3` is a number, `no` and `on` are words."""

from __future__ import annotations

import re
from typing import Any

import yaml

from l2o.configs.errors import ConfigError

MAX_VALUES = 100_000
"""Values a document may hold, aliases expanded: aliases of aliases grow without end."""
MAX_DEPTH = 100
"""Levels of nesting a document may have."""

_PREFIX = "tag:yaml.org,2002:"
_RESOLVERS = (
    (_PREFIX + "null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    (_PREFIX + "bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    (_PREFIX + "int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    (
        _PREFIX + "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"
        r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
)


class _Loader(yaml.SafeLoader):
    """Safe loader with the core rules, that refuses repeated keys."""

    yaml_implicit_resolvers: dict[str, list[Any]] = {}

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Return the mapping; a repeated key or one that is not text is an error."""
        seen: set[str] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} must be text; put it in quotes", key_node.start_mark
                )
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} is given twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


_LINE_BREAKS = {"\x85", "\u2028", "\u2029"}


class _Dumper(yaml.SafeDumper):
    """Safe dumper that quotes what the loader would not read as text, and writes no aliases."""

    yaml_implicit_resolvers: dict[str, list[Any]] = {}

    def ignore_aliases(self, data: Any) -> bool:
        """Write every value out."""
        return True

    def represent_text(self, data: str) -> yaml.ScalarNode:
        """Double-quote text with Unicode's line breaks: PyYAML would read them back as spaces."""
        style = '"' if _LINE_BREAKS & set(data) else None
        return self.represent_scalar(_PREFIX + "str", data, style=style)


def _construct_int(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    text = str(loader.construct_scalar(node))
    number = int(text, 0) if text.startswith(("0o", "0x")) else int(text)
    # Python writes longer ones neither into messages nor as JSON.
    if number.bit_length() > 10_000:
        raise ValueError(f"a number of {number.bit_length()} bits is too long")
    return number


def _construct_float(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> float:
    text = str(loader.construct_scalar(node)).lower()
    return float(text.replace(".inf", "inf").replace(".nan", "nan"))


for _tag, _pattern, _first in _RESOLVERS:
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(_tag, re.compile(f"^(?:{_pattern})$"), _first)
_Dumper.add_representer(str, _Dumper.represent_text)
_Loader.add_constructor(_PREFIX + "int", _construct_int)
_Loader.add_constructor(_PREFIX + "float", _construct_float)


def parse_yaml(text: str, where: str) -> Any:
    """Return the plain data of a YAML document: mappings, lists, text, numbers, booleans, null.

    Args:
        text: one YAML document.
        where: what it is, for errors: a file, a preset, a key of the command line.

    Raises:
        ConfigError: not YAML, a repeated key, a tag or value that is not plain data, or too large.

    Example:
        >>> parse_yaml("{lr: 1e-3, name: on}", "example")
        {'lr': 0.001, 'name': 'on'}
    """
    try:
        data = _Loader(text).get_single_data()
        _require_plain(data, [MAX_VALUES], MAX_DEPTH)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ConfigError(f"{where}{place}: not usable YAML: {error.problem}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{where}: not usable YAML: {error}") from error
    return data


def _require_plain(value: Any, budget: list[int], depth: int) -> None:
    budget[0] -= 1
    if budget[0] < 0 or depth < 0:
        raise ValueError(f"it holds more than {MAX_VALUES} values or {MAX_DEPTH} levels")
    if isinstance(value, dict):
        for inner in value.values():
            _require_plain(inner, budget, depth - 1)
    elif isinstance(value, list):
        for inner in value:
            _require_plain(inner, budget, depth - 1)
    elif value is not None and not isinstance(value, str | int | float):
        raise ValueError(f"{value!r} is a {type(value).__name__}; only plain values are allowed")


def format_yaml(data: Any, *, block: bool = False) -> str:
    """Return plain data as YAML that `parse_yaml` reads back equal.

    Args:
        data: mappings, lists, text, numbers, booleans, null.
        block: every item of a list on a line of its own, as suits sentences; else short lists and
            mappings stay on one line.

    Example:
        >>> format_yaml({"name": "1e-3", "seeds": [1, 2]})
        "name: '1e-3'\\nseeds: [1, 2]\\n"
        >>> format_yaml({"seeds": [1, 2]}, block=True)
        'seeds:\\n- 1\\n- 2\\n'
    """
    text: str = yaml.dump(
        data,
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=False if block else None,
        width=100,
    )
    return text
