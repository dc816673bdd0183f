"""From a config's mappings to the space of a scene, and to what each parameter sets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from l2o.envs.simulators.dimensions import Categorical, Continuous, Dimension, Integer
from l2o.envs.simulators.space import Space
from l2o.registry import unknown_name

_KINDS: dict[str, type[Any]] = {
    "continuous": Continuous,
    "integer": Integer,
    "categorical": Categorical,
}
_STEP = re.compile(r'\["([^"\]]+)"\]|\[(\d+)\]|\.?([A-Za-z]\w*)')


def parse_path(text: str) -> list[str | int]:
    """Return the steps of a property's path below `bpy.data`, as Blender shows it.

    Raises:
        ValueError: it is no such path.

    Example:
        >>> parse_path('objects["Key light"].location[2]')
        ['objects', 'Key light', 'location', 2]
    """
    steps: list[str | int] = []
    at = 0
    while at < len(text):
        found = _STEP.match(text, at)
        if found is None:
            break
        name, index, attribute = found.groups()
        steps.append(int(index) if index else name or attribute)
        at = found.end()
    if at < len(text) or len(steps) < 2:
        raise ValueError(
            f"property {text!r} is no path below bpy.data; write it like "
            'objects["Lamp"].data.energy, or objects["Camera"].location[2]'
        )
    return steps


def read_parameters(
    given: Mapping[str, Mapping[str, Any]],
) -> tuple[Space, dict[str, list[list[str | int]]]]:
    """Return the space of parameters, and the paths of the properties that each sets.

    Args:
        given: per parameter `property` (a path or several), `about`, and either `low`, `high`,
            `default` (and `kind: integer`) or `choices` and `default`.

    Raises:
        ValueError: a field that is missing, unknown or impossible.
    """
    dimensions: dict[str, Dimension] = {}
    paths: dict[str, list[list[str | int]]] = {}
    for name, told in given.items():
        fields = dict(told)
        named = fields.pop("property", None)
        if not named:
            raise ValueError(f"parameter {name!r} has no `property`; give a path below bpy.data")
        several = [named] if isinstance(named, str) else list(named)
        paths[name] = [parse_path(each) for each in several]
        kind = fields.pop("kind", "categorical" if "choices" in fields else "continuous")
        if kind not in _KINDS:
            raise ValueError(unknown_name(f"kind of parameter {name!r}", str(kind), _KINDS))
        if "choices" in fields:
            fields["choices"] = tuple(fields["choices"])
        try:
            dimensions[name] = _KINDS[kind](**{"about": f"sets {', '.join(several)}", **fields})
        except TypeError as error:
            reason = str(error).partition(") ")[2] or str(error)
            raise ValueError(f"parameter {name!r}: {reason}") from error
    return Space(dimensions), paths
