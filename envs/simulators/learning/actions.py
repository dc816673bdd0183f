"""Flat vectors that stand for distributions: what a learner of simulators decides."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from l2o.envs.simulators.dimensions import Categorical, Continuous, Integer
from l2o.envs.simulators.distributions import Fixed, PointDistribution, Structured, Uniform
from l2o.envs.simulators.space import Space

Vector = NDArray[np.float64]
SHARPNESS = 3.0
"""Largest log weight of a choice, at a number of 1."""


class Actions(ABC):
    """From vectors in [-1, 1] to distributions over a space, and back.

    Args:
        space: of the simulator.
        start: the distribution that is begun with, where that says what is decided.

    Attributes:
        names: what each number of a vector is of: `parameter.what`.
    """

    def __init__(self, space: Space, start: PointDistribution | None = None) -> None:
        self.space = space
        self.names: tuple[str, ...] = self._names(start)

    @property
    def width(self) -> int:
        """Numbers of a vector."""
        return len(self.names)

    @abstractmethod
    def _names(self, start: PointDistribution | None) -> tuple[str, ...]:
        """Return what the numbers are of."""

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

    def _names(self, start: PointDistribution | None) -> tuple[str, ...]:
        return _by_dimension(self.space, ("middle", "width"))

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

    def _names(self, start: PointDistribution | None) -> tuple[str, ...]:
        return _by_dimension(self.space, ("value",))

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


class Shares(Actions):
    """How much of each of several sources: weights of the scenarios that are begun with.

        weight of scenario s = exp(3 v_s)

    What is in a scenario stays as it is.

    Raises:
        ValueError: what is begun with is not of kind `structured`.

    Example:
        >>> space = Space({"tilt": Continuous(0.0, 30.0, 5.0, "in degrees")})
        >>> start = Structured(space, {"upright": {"ranges": {"tilt": 0}}, "any": {}})
        >>> Shares(space, start).distribution(np.zeros(2)).weights
        {'upright': 0.5, 'any': 0.5}
    """

    def _names(self, start: PointDistribution | None) -> tuple[str, ...]:
        if not isinstance(start, Structured):
            raise ValueError(
                "actions=shares decides how much of each scenario there is, and the start has "
                "none; give start={kind: structured, scenarios: {...}}"
            )
        self._scenarios: dict[str, Any] = start.options()["scenarios"]
        return tuple(f"{name}.share" for name in self._scenarios)

    def distribution(self, vector: Vector) -> Structured:
        """Return the mixture."""
        weights = np.exp(SHARPNESS * self.check(vector))
        told = {
            name: {**scenario, "weight": float(weight)}
            for (name, scenario), weight in zip(self._scenarios.items(), weights, strict=True)
        }
        return Structured(self.space, told)

    def vector(self, distribution: PointDistribution) -> Vector:
        """Return logs of the scenarios' weights, of those that it has; of others 0."""
        own = distribution.weights if isinstance(distribution, Structured) else {}
        logs = np.log([max(own.get(name, 1.0), 1e-12) for name in self._scenarios])
        return ((logs - logs.mean()) / SHARPNESS).clip(-1.0, 1.0)


def _by_dimension(space: Space, numeric: tuple[str, ...]) -> tuple[str, ...]:
    """Return names of a space's numbers: of each choice one, of each number those given."""
    return tuple(
        f"{name}.{part}"
        for name, each in space.items()
        for part in (each.choices if isinstance(each, Categorical) else numeric)
    )


def _share(dimension: Any, value: float) -> float:
    """Return where a number lies between a dimension's bounds, in [0, 1]."""
    numeric: Continuous | Integer = dimension
    length = numeric.high - numeric.low
    return (value - numeric.low) / length if length else 0.5


ACTIONS: dict[str, type[Actions]] = {"ranges": Ranges, "point": Points, "shares": Shares}
"""By the name in a config."""
