"""Making members of families from their config: name and arguments, checked before any work."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from l2o.configs.schema import Named
from l2o.registry import make_member

T = TypeVar("T")


def build(kind: str, table: Mapping[str, Callable[..., T]], named: Named | str, **given: Any) -> T:
    """Make the thing a config names, with its options as keyword arguments.

    Args:
        kind: what it is, in the singular; used in errors.
        table: the family's table.
        named: name (or dotted path) and options; a name alone has none.
        **given: arguments that do not come from the config.

    Raises:
        ValueError: unknown name, unknown option (with the nearest match), or a value it refuses.
    """
    if isinstance(named, str):
        named = Named(name=named)
    return make_member(kind, table, named.name, _tuples(named.options), **given)


def _tuples(options: Mapping[str, Any]) -> dict[str, Any]:
    """YAML has lists only; constructors of frozen things want tuples."""
    return {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
