"""Dimensions of a simulator's parameters: real numbers, whole numbers, choices."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from l2o.registry import unknown_name

Value = float | int | str
"""Of a dimension."""
Numbers = NDArray[np.float64]


class Dimension(ABC):
    """One named parameter: what it may be, what it is unless told otherwise, what it means.

    Numbers of a value lie in [0, 1], so that what searches or learns over a space need not know the
    units: of a number where it lies between the bounds, of a choice a one-hot code.

    Attributes:
        default: the value unless told otherwise.
        about: what it means, in a sentence.
        width: how many numbers stand for a value.
    """

    default: Value
    about: str
    width: int = 1

    @abstractmethod
    def check(self, name: str, value: Any) -> Value:
        """Return a value of this dimension, or raise a ValueError that says what it may be."""

    @abstractmethod
    def clip(self, value: Any) -> Value:
        """Return the nearest value within the bounds; of an unknown choice the default."""

    @abstractmethod
    def draw(self, generator: np.random.Generator) -> Value:
        """Draw a value uniformly."""

    @abstractmethod
    def numbers(self, value: Value) -> Numbers:
        """Return the numbers of a value, `[width]`, in [0, 1]."""

    @abstractmethod
    def value(self, numbers: Numbers) -> Value:
        """Return the value that numbers stand for, whatever they are: they are clipped."""

    @abstractmethod
    def narrow(self, name: str, part: Any) -> Dimension:
        """Return this dimension within a part of it: a pair (low, high), choices, or one value."""


@dataclass(frozen=True)
class Continuous(Dimension):
    """A real number within [low, high].

    Example:
        >>> Continuous(0.0, 30.0, 5.0, "largest rotation, in degrees").clip(45)
        30.0
    """

    low: float
    high: float
    default: float
    about: str

    def __post_init__(self) -> None:
        _check_bounds(self.low, self.default, self.high)

    def check(self, name: str, value: Any) -> float:
        """Return a number within the bounds, or raise a ValueError."""
        return float(check_within(name, value, self.low, self.high))

    def clip(self, value: Any) -> float:
        """Return the nearest number within the bounds; of NaN the default."""
        return self.default if value != value else float(min(max(value, self.low), self.high))

    def draw(self, generator: np.random.Generator) -> float:
        """Draw uniformly."""
        return float(generator.uniform(self.low, self.high))

    def numbers(self, value: Value) -> Numbers:
        """Return where a value lies between the bounds, `[1]`."""
        return np.array([_share(float(value), self.low, self.high)])

    def value(self, numbers: Numbers) -> float:
        """Return the value at a share of the range."""
        return self.clip(self.low + float(numbers[0]) * (self.high - self.low))

    def narrow(self, name: str, part: Any) -> Continuous:
        """Return this dimension within (low, high), or fixed at one number."""
        low, high = (self.check(name, end) for end in _pair(name, part))
        _check_order(name, low, high)
        return replace(self, low=low, high=high, default=min(max(self.default, low), high))


@dataclass(frozen=True)
class Integer(Dimension):
    """A whole number of low, ..., high.

    Example:
        >>> Integer(0, 8, 4, "most buttons").value(np.array([0.5]))
        4
    """

    low: int
    high: int
    default: int
    about: str

    def __post_init__(self) -> None:
        _check_bounds(self.low, self.default, self.high)

    def check(self, name: str, value: Any) -> int:
        """Return a whole number within the bounds, or raise a ValueError."""
        whole = isinstance(value, int | np.integer | float) and value == value // 1
        if isinstance(value, bool) or not whole:
            raise ValueError(
                f"{name}={value!r} is no whole number; give one of {self.low} to {self.high}"
            )
        return int(check_within(name, int(value), self.low, self.high))

    def clip(self, value: Any) -> int:
        """Return the nearest whole number within the bounds; of NaN the default."""
        return self.default if value != value else round(min(max(value, self.low), self.high))

    def draw(self, generator: np.random.Generator) -> int:
        """Draw uniformly, both ends included."""
        return int(generator.integers(self.low, self.high, endpoint=True))

    def numbers(self, value: Value) -> Numbers:
        """Return where a value lies between the bounds, `[1]`."""
        return np.array([_share(float(value), self.low, self.high)])

    def value(self, numbers: Numbers) -> int:
        """Return the whole number nearest to a share of the range."""
        return self.clip(self.low + float(numbers[0]) * (self.high - self.low))

    def narrow(self, name: str, part: Any) -> Integer:
        """Return this dimension within (low, high), or fixed at one number."""
        low, high = (self.check(name, end) for end in _pair(name, part))
        _check_order(name, low, high)
        return replace(self, low=low, high=high, default=min(max(self.default, low), high))


@dataclass(frozen=True)
class Categorical(Dimension):
    """One of several named choices.

    Example:
        >>> Categorical(("front", "left"), "front", "where light is from").numbers("left")
        array([0., 1.])
    """

    choices: tuple[str, ...]
    default: str
    about: str

    def __post_init__(self) -> None:
        if not self.choices or len(set(self.choices)) != len(self.choices):
            raise ValueError(f"choices={self.choices!r} are not distinct names; give one or more")
        self.check("default", self.default)

    @property
    def width(self) -> int:  # type: ignore[override]
        """One number for each choice."""
        return len(self.choices)

    def check(self, name: str, value: Any) -> str:
        """Return one of the choices, or raise a ValueError with the nearest one."""
        if value not in self.choices:
            raise ValueError(unknown_name(name, str(value), list(self.choices)))
        return str(value)

    def clip(self, value: Any) -> str:
        """Return the value if it is a choice, else the default."""
        return str(value) if value in self.choices else self.default

    def draw(self, generator: np.random.Generator) -> str:
        """Draw uniformly."""
        return self.choices[int(generator.integers(len(self.choices)))]

    def numbers(self, value: Value) -> Numbers:
        """Return the one-hot code of a choice, `[choices]`."""
        return np.array([float(choice == value) for choice in self.choices])

    def value(self, numbers: Numbers) -> str:
        """Return the choice of the largest number; NaN counts for nothing."""
        return self.choices[int(np.nan_to_num(numbers, nan=-np.inf).argmax())]

    def narrow(self, name: str, part: Any) -> Categorical:
        """Return this dimension with some of its choices, or with one."""
        chosen = (part,) if isinstance(part, str) else tuple(part)
        kept = tuple(self.check(name, choice) for choice in chosen)
        default = self.default if self.default in kept else (kept or self.choices)[0]
        return replace(self, choices=kept, default=default)


def _share(value: float, low: float, high: float) -> float:
    return (value - low) / (high - low) if high > low else 0.0


def check_within(name: str, value: Any, low: float, high: float) -> Any:
    """Return a number within [low, high], or raise a ValueError."""
    known = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not known or not low <= value <= high:
        raise ValueError(f"{name}={value!r} is no number within [{low}, {high}]; give one that is")
    return value


def _check_bounds(low: float, default: float, high: float) -> None:
    if not low <= default <= high or np.inf in (-low, high):
        raise ValueError(
            f"low={low}, default={default}, high={high} must be finite and ascend; order them"
        )


def _check_order(name: str, low: float, high: float) -> None:
    if low > high:
        raise ValueError(f"{name}=({low}, {high}) must ascend; give ({high}, {low})")


def _pair(name: str, part: Any) -> tuple[Any, Any]:
    """Return the two ends of a part, which may be one number."""
    if not isinstance(part, Sequence) or isinstance(part, str):
        return part, part
    if len(part) != 2:
        raise ValueError(f"{name}={part!r} must be one number, or a pair (low, high)")
    return part[0], part[1]
