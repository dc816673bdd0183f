"""Axes of variation: checking what the user gave, drawing a task's value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from l2o.registry import unknown_name

Number = int | float
Axis = Number | Sequence[Number]
"""A number fixes the axis; a pair (low, high) lets each task draw uniformly from it."""


def check_range(name: str, value: Axis, low: Number, high: Number) -> tuple[Number, Number]:
    """Return the axis as a pair, or raise a ValueError that says what it may be."""
    pair: Any = (value, value) if _is_number(value) else value
    if (
        isinstance(pair, str)
        or not isinstance(pair, Sequence)
        or len(pair) != 2
        or not all(_is_number(end) for end in pair)
        or not low <= pair[0] <= pair[1] <= high
    ):
        raise ValueError(
            f"{name}={value!r} is not a number or an ascending pair (low, high) within "
            f"[{low}, {high}]; give {name}=({low}, {high}) or a part of it."
        )
    return pair[0], pair[1]


def check_number(name: str, value: Any, low: Number, high: Number) -> float:
    """Return a number within [low, high], or raise a ValueError that says what it may be."""
    if not _is_number(value) or not low <= value <= high:
        raise ValueError(
            f"{name}={value!r} is not a number within [{low}, {high}]; give one that is."
        )
    return float(value)


def check_whole(name: str, value: Any, low: int, high: int) -> int:
    """Return a whole number within [low, high], or raise a ValueError that says what it may be."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise ValueError(f"{name}={value!r} is not a whole number; give one of {low} to {high}.")
    if not low <= value <= high:
        raise ValueError(f"{name}={value} is not within [{low}, {high}]; give one that is.")
    return int(value)


def check_whole_range(name: str, value: Axis, low: int, high: int) -> tuple[int, int]:
    """Return the axis as a pair of whole numbers within [low, high]."""
    pair = check_range(name, value, low, high)
    return check_whole(name, pair[0], low, high), check_whole(name, pair[1], low, high)


def check_choices(name: str, value: int | Sequence[int], allowed: Sequence[int]) -> tuple[int, ...]:
    """Return the axis as a tuple of distinct allowed numbers."""
    choices = tuple(value) if isinstance(value, Sequence) else (value,)
    wrong = [choice for choice in choices if choice not in allowed]
    if wrong or not choices or len(set(choices)) != len(choices):
        raise ValueError(
            f"{name}={value!r} is not a list of distinct numbers of "
            f"{_told(allowed)}; give for example {name}=({allowed[0]},)."
        )
    return choices


def _told(allowed: Sequence[int]) -> str:
    """Return what is allowed, at a length that can be read."""
    return str(list(allowed)) if len(allowed) <= 10 else f"{allowed[0]} to {allowed[-1]}"


def check_names(name: str, value: str | Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    """Return the axis as a tuple of distinct known names."""
    names = (value,) if isinstance(value, str) else tuple(value)
    for each in names:
        if each not in known:
            raise ValueError(unknown_name(name, each, list(known)))
    if not names or len(set(names)) != len(names):
        raise ValueError(f"{name}={value!r} is not a list of distinct names; give {[*known]}")
    return names


def draw_choice(choices: tuple[int, ...], generator: np.random.Generator) -> int:
    """Draw one of several numbers."""
    return choices[int(generator.integers(len(choices)))]


def draw_uniform(axis: tuple[Number, Number], generator: np.random.Generator) -> float:
    """Draw a real number from the axis."""
    return float(generator.uniform(axis[0], axis[1]))


def draw_whole(axis: tuple[int, int], generator: np.random.Generator) -> int:
    """Draw a whole number from the axis, both ends included."""
    return int(generator.integers(axis[0], axis[1], endpoint=True))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)
