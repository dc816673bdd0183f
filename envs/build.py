"""Making members of families from their config: name and arguments, checked before any work."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from l2o.configs.schema import Named
from l2o.registry import lookup

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
    make = lookup(kind, table, named.name)
    known = {k: p for k, p in inspect.signature(make).parameters.items() if k not in given}
    free = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in known.values())
    for option in named.options:
        if option not in known and not free:
            near = difflib.get_close_matches(option, known, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ValueError(
                f"{kind} {named.name!r} has no option {option!r}.{hint} "
                f"Known: {', '.join(known) or 'none'}."
            )
    try:
        return make(**given, **_tuples(named.options))
    except TypeError as error:
        raise ValueError(f"{kind} {named.name!r}: {error}") from error


def _tuples(options: Mapping[str, Any]) -> dict[str, Any]:
    """YAML has lists only; constructors of frozen things want tuples."""
    return {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
