"""Flat vectors that stand for distributions: what a learner of simulators decides."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from l2o.envs.simulators.dimensions import Categorical, Continuous, Integer
from l2o.envs.simulators.distributions import Fixed, PointDistribution, Uniform
from l2o.envs.simulators.space import Space

Vector = NDArray[np.float64]
SHARPNESS = 3.0
"""Largest log weight of a choice, at a number of 1."""


class Actions(ABC):
    """From vectors in [-1, 1] to distributions over a space, and back.

    Args:
        space: of the simulator.

    Attributes:
        names: what each number of a vector is of: `parameter.what`.
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        self.names: tuple[str, ...] = tuple(
            f"{name}.{part}" for name, each in space.items() for part in self._parts(each)
        )

    @property
    def width(self) -> int:
        """Numbers of a vector."""
        return len(self.names)

    @staticmethod
    @abstractmethod
    def _parts(dimension: Any) -> tuple[str, ...]:
        """Return what the numbers of a dimension are."""

    @abstractmethod
    def distribution(self, vector: Vector) -> PointDistribution:
        """Return the distribution that a vector stands for; numbers outside [-1, 1] are clipped.

        Raises:
            ValueError: a vector of another length, or NaN.
        """

    @abstractmethod
    def vector(self, distribution: PointDistribution) -> Vector:
        """Return the vector nearest to a distribution: where learning begins."""

    def check(self, vector: Any) -> Vector:
        """Return a vector of the right length, clipped to [-1, 1].

        Raises:
            ValueError: another length, or NaN.
        """
        found = np.asarray(vector, dtype=np.float64)
        if found.shape != (self.width,) or np.isnan(found).any():
            raise ValueError(
                f"an action must be {self.width} numbers without NaN, got {found.tolist()}; give "
                f"one number each of {', '.join(self.names)}"
            )
        return found.clip(-1.0, 1.0)


class Ranges(Actions):
    """Uniform ranges: of a number the middle and half the width, of a choice the log weight.

        low, high = low_d + (m ∓ h) · (high_d − low_d), clipped,   m, h = (1 + v) / 2, (1 + w) / 4
        weight of choice c = exp(3 v_c)

    All numbers at the middle of [-1, 1] are ranges of half the width; m = 1/2, h = 1/2 is uniform
    domain randomization, and h = 0 one point: all that is tuned by hand lies in between.

    Example:
        >>> space = Space({"tilt": Continuous(0.0, 30.0, 5.0, "in degrees")})
        >>> Ranges(space).distribution(np.array([0.0, 1.0])).ends("tilt")
        (0.0, 30.0)
    """

    @staticmethod
    def _parts(dimension: Any) -> tuple[str, ...]:
        if isinstance(dimension, Categorical):
            return dimension.choices
        return ("middle", "width")

    def distribution(self, vector: Vector) -> Uniform:
        """Return uniform ranges, with weights of choices."""
        left = list(self.check(vector))
        ranges: dict[str, Any] = {}
        weights: dict[str, dict[str, float]] = {}
        for name, dimension in self.space.items():
            if isinstance(dimension, Categorical):
                logs = [left.pop(0) for _ in dimension.choices]
                weights[name] = {
                    choice: float(np.exp(SHARPNESS * log))
                    for choice, log in zip(dimension.choices, logs, strict=True)
                }
            else:
                middle, half = (1.0 + left.pop(0)) / 2, (1.0 + left.pop(0)) / 4
                ends = (max(middle - half, 0.0), min(middle + half, 1.0))
                ranges[name] = tuple(dimension.value(np.array([end])) for end in ends)
        return Uniform(self.space, ranges, weights)

    def vector(self, distribution: PointDistribution) -> Vector:
        """Return middles and widths of the ends, and logs of the shares."""
        numbers: list[float] = []
        for name, dimension in self.space.items():
            if isinstance(dimension, Categorical):
                shares = np.array(list(distribution.shares(name).values()))
                logs = np.log(np.maximum(shares, 1e-12)) / SHARPNESS
                numbers += list(logs - logs.mean())
            else:
                ends = distribution.ends(name)
                assert ends is not None  # it is a number
                low, high = (_share(dimension, end) for end in ends)
                numbers += [low + high - 1.0, 2.0 * (high - low) - 1.0]
        return np.array(numbers).clip(-1.0, 1.0)


class Points(Actions):
    """One point: a set of images at one psi, as in Learning to Simulate.

    Of a number where it lies between its bounds; of a choice, the one with the largest number.

    Example:
        >>> space = Space({"tilt": Continuous(0.0, 30.0, 5.0, "in degrees")})
        >>> Points(space).distribution(np.array([0.0])).psi
        {'tilt': 15.0}
    """

    @staticmethod
    def _parts(dimension: Any) -> tuple[str, ...]:
        return dimension.choices if isinstance(dimension, Categorical) else ("value",)

    def distribution(self, vector: Vector) -> Fixed:
        """Return the point."""
        return Fixed(self.space, self.space.unflatten((1.0 + self.check(vector)) / 2))

    def vector(self, distribution: PointDistribution) -> Vector:
        """Return the middle of the ends, and shares of choices."""
        numbers: list[float] = []
        for name, dimension in self.space.items():
            if isinstance(dimension, Categorical):
                numbers += [2.0 * share - 1.0 for share in distribution.shares(name).values()]
            else:
                ends = distribution.ends(name)
                assert ends is not None  # it is a number
                numbers.append(sum(_share(dimension, end) for end in ends) - 1.0)
        return np.array(numbers).clip(-1.0, 1.0)


def _share(dimension: Any, value: float) -> float:
    """Return where a number lies between a dimension's bounds, in [0, 1]."""
    numeric: Continuous | Integer = dimension
    length = numeric.high - numeric.low
    return (value - numeric.low) / length if length else 0.5


ACTIONS: dict[str, type[Actions]] = {"ranges": Ranges, "point": Points}
"""By the name in a config."""
