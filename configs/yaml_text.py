"""YAML in and out, by the core rules of YAML 1.2: `1e-3` is a number, `no` and `on` are words."""

from __future__ import annotations

import io
import re
import sys
from typing import Any, NoReturn

from ruamel.yaml import YAML
from ruamel.yaml.constructor import ConstructorError, SafeConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.representer import SafeRepresenter
from ruamel.yaml.resolver import VersionedResolver
from ruamel.yaml.tag import Tag

from l2o.configs.errors import ConfigError

MAX_VALUES = 100_000
"""Values a document may hold, aliases expanded: aliases of aliases grow without end."""
MAX_DEPTH = 100
"""Levels of nesting a document may have."""
MAX_FLOW = 90
"""Characters that a list or mapping may have to be written in one line."""

_PREFIX = "tag:yaml.org,2002:"
_SCALARS = {_PREFIX + name for name in ("str", "null", "bool", "int", "float")}
_PLAIN = _SCALARS | {_PREFIX + "seq", _PREFIX + "map"}
_BARE_FRACTION = re.compile(r"[-+]?\.[0-9]+[eE][0-9]+")
_LINE_BREAKS = {"\x85", "\u2028", "\u2029"}


class _CoreResolver(VersionedResolver):
    """What plain scalars mean: ruamel.yaml's rules, held to the core schema of YAML 1.2.

    They are wider where dates, merges (`<<`), `=` and `1_000` are more than words, and narrower
    where `.5e3` is no number. A `%YAML 1.1` directive does not make booleans of `on` and `no`.
    """

    @property
    def processing_version(self) -> tuple[int, int]:
        return 1, 2

    def resolve(self, kind: type[Node], value: Any, implicit: Any) -> Tag:
        tag: Tag = super().resolve(kind, value, implicit)
        if kind is not ScalarNode or not implicit[0]:
            return tag
        if _BARE_FRACTION.fullmatch(value):
            return Tag(suffix=_PREFIX + "float")
        return tag if str(tag) in _SCALARS and "_" not in value else self.DEFAULT_SCALAR_TAG


class _PlainConstructor(SafeConstructor):
    """Makes plain data of a document, once the whole of it is known to hold nothing else."""

    def construct_document(self, node: Node) -> Any:
        _require_plain(node, [MAX_VALUES], MAX_DEPTH)
        return super().construct_document(node)

    def construct_object(self, node: Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, LookupError):
            _refuse(node, f"{node.value!r} does not fit its tag {node.tag}")

    def check_mapping_key(
        self, node: Node, key_node: Node, mapping: dict[str, Any], key: str, value: Any
    ) -> bool:
        if key in mapping:
            _refuse(key_node, f"key {key!r} is given twice")
        return True


class _PlainRepresenter(SafeRepresenter):
    """Writes values out, no aliases, so that readers of YAML 1.1 take them alike."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def represent_text(self, data: str) -> ScalarNode:
        # Readers make spaces of Unicode's line breaks, and take a `:` or `?` within brackets for
        # an indicator; ruamel.yaml writes both as they are.
        broken = '"' if _LINE_BREAKS & set(data) else None
        return self.represent_scalar(
            _PREFIX + "str", data, style=broken or ("'" if data.startswith((":", "?")) else None)
        )

    def represent_number(self, data: float) -> ScalarNode:
        node = self.represent_float(data)
        if "." not in node.value:  # to YAML 1.1, `1e-05` is text
            node.value = node.value.replace("e", ".0e", 1)
        return node

    def represent_sequence(
        self, tag: Any, sequence: Any, flow_style: bool | None = None
    ) -> SequenceNode:
        node: Any = super().represent_sequence(tag, sequence, flow_style)
        node.flow_style = node.flow_style and _fits(node.value)
        return node

    def represent_mapping(
        self, tag: Any, mapping: Any, flow_style: bool | None = None
    ) -> MappingNode:
        node: Any = super().represent_mapping(tag, mapping, flow_style)
        node.flow_style = node.flow_style and _fits([part for pair in node.value for part in pair])
        return node


def _fits(scalars: list[ScalarNode]) -> bool:
    return sum(len(scalar.value) + 2 for scalar in scalars) <= MAX_FLOW


_PlainRepresenter.add_representer(str, _PlainRepresenter.represent_text)
_PlainRepresenter.add_representer(float, _PlainRepresenter.represent_number)


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
        return _yaml().load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ConfigError(f"{where}{place}: not usable YAML: {error.problem}") from error
    except (YAMLError, RecursionError) as error:
        raise ConfigError(f"{where}: not usable YAML: {error}") from error


def format_yaml(data: Any, *, block: bool = False) -> str:
    """Return plain data as YAML that `parse_yaml` reads back equal.

    Args:
        data: mappings, lists, text, numbers, booleans, null.
        block: every item of a list on a line of its own, and long text over several, as suits
            sentences; else short lists and mappings stay on one line, and so does all text.

    Example:
        >>> format_yaml({"name": "1e-3", "seeds": [1, 2]})
        "name: '1e-3'\\nseeds: [1, 2]\\n"
        >>> format_yaml({"seeds": [1, 2]}, block=True)
        'seeds:\\n- 1\\n- 2\\n'
    """
    yaml = _yaml()
    yaml.default_flow_style = False if block else None
    yaml.width = 100 if block else sys.maxsize  # ruamel.yaml leaves a space where it breaks a line
    written = io.StringIO()
    yaml.dump(data, written)
    return written.getvalue()


def _yaml() -> YAML:
    """Return a reader and writer of its own for each document: they hold state."""
    yaml = YAML(typ="safe", pure=True)
    yaml.Resolver = _CoreResolver
    yaml.Constructor = _PlainConstructor
    yaml.Representer = _PlainRepresenter
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    return yaml


def _require_plain(node: Node, budget: list[int], depth: int) -> None:
    """Refuse what is not plain data, where it stands, before anything is made of it."""
    budget[0] -= 1
    if budget[0] < 0 or depth < 0:
        _refuse(node, f"it holds more than {MAX_VALUES} values or {MAX_DEPTH} levels")
    if str(node.tag) not in _PLAIN:
        _refuse(node, f"only plain values are allowed, got one of the tag {node.tag}")
    if isinstance(node, MappingNode):
        for key, value in node.value:
            if str(key.tag) != _PREFIX + "str":
                _refuse(key, f"key {_shown(key)} must be text; put it in quotes")
            _require_plain(value, budget, depth - 1)
    elif isinstance(node, SequenceNode):
        for item in node.value:
            _require_plain(item, budget, depth - 1)
    elif str(node.tag) == _PREFIX + "int" and len(node.value) > 3000:
        # Python writes longer ones neither into messages nor as JSON.
        _refuse(node, f"a number of {len(node.value)} digits is too long")


def _shown(key: Node) -> str:
    return key.value or "null" if isinstance(key, ScalarNode) else "of several values"


def _refuse(node: Node, problem: str) -> NoReturn:
    raise ConstructorError(None, None, problem, node.start_mark)
