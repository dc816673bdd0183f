"""Pydantic's validation errors in the user's words: field, value, rule, nearest field."""

from __future__ import annotations

import difflib
import re
import typing
from typing import Any

from pydantic import BaseModel, ValidationError


def explain(model: type[BaseModel], data: Any, error: ValidationError) -> list[str]:
    """Return one line per field that is wrong.

    Args:
        model: the schema the data was held against.
        data: the plain data.
        error: what pydantic raised.
    """
    lines: dict[str, str] = {}
    for item in error.errors(include_url=False):
        keys, value = locate(data, item["loc"], item["type"])
        path = ".".join(map(str, keys))
        if item["type"] == "extra_forbidden":
            # With `Named | str`, the other branch of the union complains about the whole value.
            lines[path] = f"{path} = {value!r}: unknown field.{_alternatives(model, keys)}"
            lines.pop(".".join(map(str, keys[:-1])), None)
        elif item["type"] == "missing" and isinstance(item["loc"][-1], str):
            lines[path] = f"{path}: missing; it must be given."
            lines.pop(".".join(map(str, keys[:-1])), None)
        elif not any(known.startswith(f"{path}.") for known in lines):
            rule = _rule(item, value)
            both = f"{lines[path].partition(': ')[2]}, or " if path in lines else ""
            lines[path] = f"{path} = {value!r}: {both}{rule}" if path else rule
    return [line + _meaning(model, path.split(".")) for path, line in lines.items()]


def locate(data: Any, loc: tuple[int | str, ...], kind: str) -> tuple[list[int | str], Any]:
    """Return the keys that lead to an error's value in the data, and the value.

    Pydantic's locations also name the branches of unions; those are no keys of the data.
    """
    keys: list[int | str] = []
    for position, key in enumerate(loc):
        inside = (isinstance(data, dict) and key in data) or (
            isinstance(data, list) and isinstance(key, int) and key < len(data)
        )
        if inside:
            data = data[key]
            keys.append(key)
        elif kind == "missing" and position == len(loc) - 1 and isinstance(key, str):
            keys.append(key)
    return keys, data


def field_paths(model: type[BaseModel], prefix: str = "") -> list[str]:
    """Return the dotted paths of all fields of a schema, sections included."""
    paths = []
    for name, field in model.model_fields.items():
        paths.append(prefix + name)
        inner = inner_model(field.annotation)
        if inner is not None and not re.search("tuple|dict", str(field.annotation)):
            paths += field_paths(inner, f"{prefix}{name}.")
    return paths


def inner_model(annotation: Any) -> type[BaseModel] | None:
    """Return the schema within a field's type, such as `Row` in `tuple[Row, ...] | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in typing.get_args(annotation):
        found = inner_model(argument)
        if found is not None:
            return found
    return None


def _parent(model: type[BaseModel], keys: list[Any]) -> type[BaseModel] | None:
    current: type[BaseModel] | None = model
    names = False
    for key in keys[:-1]:
        if names or isinstance(key, int) or str(key).isdecimal():
            names = False
            continue
        if current is None or key not in current.model_fields:
            return None
        annotation = current.model_fields[key].annotation
        current = inner_model(annotation)
        # The keys of such a mapping are the user's, and no fields.
        names = typing.get_origin(annotation) is dict and current is not None
    return None if names else current


def _alternatives(model: type[BaseModel], keys: list[int | str]) -> str:
    parent = _parent(model, keys) or model
    prefix = "".join(f"{key}." for key in keys[:-1])
    name = str(keys[-1])
    near = difflib.get_close_matches(name, parent.model_fields, n=1, cutoff=0.6)
    nearest = [prefix + match for match in near]
    if not nearest:
        leaves = {path.rpartition(".")[2]: path for path in reversed(field_paths(model))}
        nearest = [leaves[leaf] for leaf in difflib.get_close_matches(name, leaves, 1, 0.75)]
    hint = f" Did you mean {nearest[0]}?" if nearest else ""
    section = f"{prefix[:-1]} takes" if prefix else "Allowed"
    colon = "" if prefix else ":"
    return f"{hint} {section}{colon} {', '.join(sorted(parent.model_fields))}."


def _rule(item: Any, value: Any) -> str:
    message = str(item["msg"])
    for start, instead in (("Input should be ", "must be "), ("Value error, ", "")):
        if message.startswith(start):
            message = instead + message[len(start) :]
    if item["type"] in ("model_type", "model_attributes_type", "dict_type"):
        message = "must be a mapping"
    if item["type"] == "missing":
        message = f"has {len(value)} values, too few"
    if item["type"] == "string_type" and isinstance(value, int | float):
        message += f'; as text, put it in quotes: "{value}"'
    return message


def _meaning(model: type[BaseModel], keys: list[str]) -> str:
    parent = _parent(model, list(keys))
    if parent is None or keys[-1] not in parent.model_fields:
        return ""
    description = parent.model_fields[keys[-1]].description
    return f" ({description})" if description else ""
