"""The reference page of all fields, made from the schema: `make docs`."""

from __future__ import annotations

import json
import math
import sys
import typing
from pathlib import Path
from types import NoneType, UnionType
from typing import Any

from pydantic_core import PydanticUndefined

from l2o.configs.catalog import list_presets
from l2o.configs.explain import inner_model
from l2o.configs.load import SCHEMAS, config_data
from l2o.configs.schema import Strict

INTRODUCTION = """\
# Configuration

This page is made from `configs/schema.py`, `configs/zero_shot.py` and `configs/ablation.py` by
`make docs`; edit it there.

Every command takes CONFIG, a preset's name or the path of a YAML file, and any number of
`key=value`:

```
l2o train demo minutes=10 finetuning.optimizer.name=adamw environment.base_lr=[1e-3,0.1]
```

- A key is a field's dotted path: `finetuning.steps`, `rows.0.label`. A part that holds a dot itself
  is written in double quotes: `environment.rewards."my.module:Reward"=1`.
- A value is YAML by its 1.2 core rules: `1e-3` is a number, `no` is a word, `[1, 2]` a list, `null`
  nothing. An override changes just what its key names; `task={name: x}` replaces all of `task`.
- In a file, what is left out keeps its default. A file may start from another config with
  `extends: NAME`, a preset of the same command, or `extends: other.yaml`, relative to the file:
  mappings are merged, anything else is replaced, `{}` empties a mapping.
- An unknown field, a wrong type or an impossible value is an error before any work.
- Where a field names a thing of a family (task, reward, signal, schedule, guidance, optimizer,
  algorithm), `package.module:Name` takes one of your own; the command line finds modules of the
  current folder.
- The resolved config is in `config.yaml` of every run's folder, and is itself a config.
"""
HEADINGS = {
    "zero_shot": "l2o benchmark, over families",
    "ablation": "l2o benchmark, of variants of learning",
    "learn_simulator": "l2o train, of a simulator",
}
"""Headings of the kinds that are no command of their own."""


def reference() -> str:
    """Return the page as Markdown: the presets, and a table per section of the schema."""
    parts = [INTRODUCTION]
    sections: list[type[Strict]] = []
    for kind, schema in SCHEMAS.items():
        parts.append(f"## {HEADINGS.get(kind, f'l2o {kind}')}\n\n{_sentence(schema)}\n")
        presets = list_presets(kind)  # type: ignore[arg-type]
        if presets:
            rows = [f"| `{name}` | {about} |" for name, about in presets.items()]
            parts.append("\n".join(["| preset | what it is |", "|---|---|", *rows, ""]))
        parts.append(_table(schema))
        sections += [section for section in _sections(schema) if section not in sections]
    for section in sections:
        parts.append(f"## {section.__name__}\n\n{_sentence(section)}\n")
        parts.append(_table(section))
    return "\n".join(parts).rstrip() + "\n"


def _sentence(schema: type[Strict]) -> str:
    return " ".join((schema.__doc__ or "").split())


def _sections(schema: type[Strict]) -> list[type[Strict]]:
    found: list[type[Strict]] = []
    for field in schema.model_fields.values():
        inner = inner_model(field.annotation)
        if inner is not None and issubclass(inner, Strict) and inner not in found:
            found += [new for new in [inner, *_sections(inner)] if new not in found]
    return found


def _table(schema: type[Strict]) -> str:
    rows = ["| field | type | default | meaning |", "|---|---|---|---|"]
    for name, field in schema.model_fields.items():
        limits = "".join(f", {limit}" for limit in map(_limit, field.metadata) if limit)
        kind = _type(field.annotation) + limits
        default = _default(field.default)
        meaning = " ".join((field.description or "").split()).replace("|", "\\|")
        rows.append(f"| `{name}` | {kind} | {default} | {meaning} |")
    return "\n".join([*rows, ""])


def _limit(metadata: Any) -> str:
    signs = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
    limits = ((sign, getattr(metadata, name, None)) for name, sign in signs.items())
    own = [f"{sign} {_bound(limit)}" for sign, limit in limits if limit is not None]
    # `Field(...)` within a type keeps its limits in a list of its own.
    inner = [_limit(each) for each in getattr(metadata, "metadata", ())]
    return " and ".join(own + inner)


def _bound(limit: float) -> str:
    """Return a limit as people write it: large ones as powers."""
    for base in (10, 2):
        power = round(math.log(abs(limit), base)) if abs(limit) >= 2**20 or limit == 1e6 else 0
        if power and abs(limit) == base**power:
            return f"{base}^{power}"
    return f"{limit:g}" if isinstance(limit, float) else str(limit)


def _type(annotation: Any) -> str:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        limits = [limit for limit in map(_limit, arguments[1:]) if limit]
        return " ".join([_type(arguments[0]), *([" and ".join(limits)] if limits else [])])
    if origin in (typing.Union, UnionType):
        return " or ".join(_type(argument) for argument in arguments)
    if origin is typing.Literal:
        return " or ".join(f"`{argument}`" for argument in arguments)
    if origin is tuple:
        inner = [_type(argument) for argument in arguments if argument is not Ellipsis]
        return f"list of {inner[0]}" if Ellipsis in arguments else f"[{', '.join(inner)}]"
    if origin is dict:
        value = _type(arguments[1])
        return "mapping" if arguments[1] is Any else f"mapping of names to {value}"
    if isinstance(annotation, type) and issubclass(annotation, Strict):
        return f"[{annotation.__name__}](#{annotation.__name__.lower()})"
    names = {str: "text", int: "integer", float: "number", bool: "boolean", NoneType: "null"}
    return names.get(annotation, str(annotation))


def _default(value: Any) -> str:
    if value is PydanticUndefined:
        return "must be given"
    if isinstance(value, Strict):
        required = any(field.is_required() for field in type(value).model_fields.values())
        return f"`{json.dumps(config_data(value))}`" if required else "its defaults"
    return f"`{json.dumps(value)}`"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(reference(), encoding="utf-8")
