"""Grouping parameters by what timm's `group_matcher` says of a model."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from l2o.layers.structure import compile_regex
from l2o.layers.walk import Groups, Named

Place = tuple[float, ...]
"""Where a group lies: groups are ordered by it; parameters of one place are one group."""

Placing = Callable[[str], tuple[Place, str]]
"""From a parameter's name to the place and the name of its group."""

# timm's mark of parameters that belong with the group before.
_WITH_THE_LAST = 99999.0
_NOWHERE: Place = (math.inf,)


def group_by_matcher(named: Named, matcher: Any) -> Groups:
    """Group as timm does; no groups at all if the matcher knows none of the names.

    Args:
        named: the parameters.
        matcher: a function, parameter name -> place, a number or several. Or a table, label ->
            regex, or label -> list of (regex, suffix): the place is (row of the table, numbers in
            the match, suffix). Places that end with 99999 or more say "with the group before";
            what nothing matches (a final norm) goes with the last group.

    Raises:
        ValueError: a regular expression is broken, or a place is no number.

    Example:
        >>> rows = [(f"blocks.{i}.weight", nn.Parameter(torch.ones(2))) for i in range(2)]
        >>> list(group_by_matcher(rows, lambda name: int(name.split(".")[1])))
        ['group.0', 'group.1']
    """
    place = _by_function(matcher) if callable(matcher) else _by_table(matcher)
    placed: dict[Place, tuple[str, Named]] = {}
    for name, parameter in named:
        where, label = place(name)
        placed.setdefault(where, (label, []))[1].append((name, parameter))
    groups: Groups = {}
    if set(placed) <= {_NOWHERE}:
        return groups
    for where, (label, members) in sorted(placed.items(), key=lambda item: item[0]):
        if where[-1] >= _WITH_THE_LAST and groups:
            groups[next(reversed(groups))].extend(members)
        else:
            groups.setdefault(label, []).extend(members)
    return groups


def _by_function(matcher: Callable[[str], Any]) -> Placing:
    def place(name: str) -> tuple[Place, str]:
        said = matcher(name)
        where = _numbers(said)
        if not where or any(math.isnan(number) for number in where):
            raise ValueError(
                f"group_matcher's function must return a number or several for {name!r}, "
                f"got {said!r}; pass by=... to group the model otherwise"
            )
        return where, _label("group", where)

    return place


def _numbers(said: Any) -> Place:
    """Return a number, or several, as a place; () if it is something else."""
    try:
        many = said if isinstance(said, tuple | list) else [said]
        return () if isinstance(said, str) else tuple(map(float, many))
    except (TypeError, ValueError):
        return ()


def _by_table(table: Any) -> Placing:
    specs: list[tuple[int, str, re.Pattern[str], Place]] = []
    labelled = table if isinstance(table, Mapping) else {"blocks": table}
    for order, (label, rows) in enumerate(labelled.items()):
        for row in [rows] if isinstance(rows, str) else rows or []:
            regex, suffix = (row, None) if isinstance(row, str) else row
            ends = (suffix,) if isinstance(suffix, int | float) else tuple(suffix or ())
            specs.append((order, label, compile_regex(regex), tuple(map(float, ends))))

    def place(name: str) -> tuple[Place, str]:
        for order, label, pattern, suffix in specs:
            if found := pattern.match(name):
                numbers = [part for part in found.groups() if part is not None and part.isdigit()]
                key = (*map(float, numbers), *suffix)
                return (float(order), *key), _label(label, key)
        return _NOWHERE, "rest"

    return place


def _label(label: str, place: Place) -> str:
    return ".".join([label, *(f"{part:g}" for part in place if part < _WITH_THE_LAST)])
