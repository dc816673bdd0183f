"""Checks of arguments, worded alike everywhere: the value, the rule."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any

from l2o.registry import unknown_name

INFINITY = float("inf")


def check_number(
    what: str, value: float, low: float = 0.0, high: float = INFINITY, *, above: bool = False
) -> None:
    """Raise unless `low <= value <= high` and finite; `above` makes the lower bound strict.

    Raises:
        ValueError: the value is no number, not finite or out of range; the message names it.

    Example:
        >>> check_number("momentum", 1.5, 0.0, 1.0)
        Traceback (most recent call last):
        ValueError: momentum must be a number in [0, 1], got 1.5
    """
    number = isinstance(value, Real) and not isinstance(value, bool)
    if number and (low < value if above else low <= value) and value <= high and value < INFINITY:
        return
    left = "(" if above else "["
    right = "infinity)" if high == INFINITY else f"{high:g}]"
    raise ValueError(f"{what} must be a number in {left}{low:g}, {right}, got {value!r}")


def check_decay(what: str, value: float) -> None:
    """Raise unless a decay of memory, such as a momentum, is in [0, 1).

    Raises:
        ValueError: it is not; the message names it.
    """
    check_number(what, value, 0.0, 1.0)
    if value == 1.0:
        raise ValueError(f"{what} must be below 1, or nothing is ever forgotten; got 1.0")


def check_at_least_one(what: str, value: int) -> int:
    """Return a count; raise unless it is 1 or more.

    Raises:
        ValueError: it is less; the message names it.
    """
    if value < 1:
        raise ValueError(f"{what} must be at least 1, got {value}")
    return value


def check_steps(what: str, value: Any) -> int | None:
    """Return a number of steps, 1 or more, as an int; None, for an unknown one, stays None.

    Raises:
        ValueError: anything else; the message names it.

    Example:
        >>> check_steps("total_steps", float("nan"))
        Traceback (most recent call last):
        ValueError: total_steps must be at least 1, a whole number of steps, or None, got nan
    """
    if value is None:
        return None
    number = isinstance(value, Real) and not isinstance(value, bool)
    if not number or not 1 <= value < INFINITY or value != int(value):
        raise ValueError(
            f"{what} must be at least 1, a whole number of steps, or None, got {value!r}"
        )
    return int(value)


def check_choice(what: str, value: Any, known: Sequence[str]) -> str:
    """Return a choice; raise unless it is one of those known.

    Raises:
        ValueError: it is none of them; the message names the nearest.

    Example:
        >>> check_choice("schedule", "compose", ("compose", "override"))
        'compose'
    """
    if value not in known:
        raise ValueError(unknown_name(what, str(value), list(known)))
    return str(value)
