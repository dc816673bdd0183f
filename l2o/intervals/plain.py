"""Intervals as configs, cards and checkpoints write them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from l2o.intervals import INTERVALS
from l2o.intervals.base import Interval
from l2o.intervals.every import Every
from l2o.intervals.growing import Growing
from l2o.intervals.unloaded import Unloaded
from l2o.registry import make_member


def as_interval(given: Any) -> Interval:
    """Return the interval that a number or a config's mapping stands for.

    Args:
        given: an interval; a number of steps; `{first, growth, share}`; or `{name, options}`, the
            name from `INTERVALS` or a dotted path.

    Raises:
        ValueError: none of these, less than one step, or fields that an interval does not have.

    Example:
        >>> as_interval({"first": 5, "growth": 0.1}).window(100)
        10
    """
    if isinstance(given, Interval):
        return given
    if not isinstance(given, Mapping):
        return Every(given)
    if "name" in given:
        return _named(**given)
    try:
        return Growing(**given)
    except TypeError as error:
        raise ValueError(
            f"an interval that grows has the fields first, growth and share, got {dict(given)}"
        ) from error


def as_known_interval(given: Any) -> Interval:
    """Return the interval that a file's plain data stand for, importing nothing.

    One of somebody's own is read, but gives no window: see `Unloaded`.

    Raises:
        ValueError: as `as_interval`.
    """
    if isinstance(given, Mapping) and ":" in str(given.get("name", "")):
        return Unloaded(**given)
    return as_interval(given)


def as_plain(interval: Interval | int) -> Any:
    """Return an interval as `as_interval` takes it: a number stays one.

    Example:
        >>> as_plain(10), as_plain(Growing(5))
        (10, {'first': 5, 'growth': 0.05, 'share': 0.0})
    """
    made = as_interval(interval)
    plain = made.plain()
    # A member goes by its name: a file that says a path would not be read without importing it.
    names = {kind: name for name, kind in INTERVALS.items()}
    if isinstance(plain, Mapping) and "name" in plain and type(made) in names:
        return {**plain, "name": names[type(made)]}
    return plain


def _named(name: str, options: Mapping[str, Any] | None = None) -> Interval:
    made: Any = make_member("interval", INTERVALS, name, options or {})
    if not isinstance(made, Interval):
        raise ValueError(
            f"interval {name!r} must make a subclass of {Interval.__module__}.{Interval.__name__}, "
            f"got {made!r:.100}"
        )
    return made
