"""A space of named parameters, and points in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import numpy as np

from l2o.envs.simulators.dimensions import Dimension, Numbers, Value
from l2o.registry import unknown_name

Point = Mapping[str, Value]
"""A value for each dimension of a space, or for some: the others are at their defaults."""


class Distribution(Protocol):
    """A distribution over points; `Space` is the uniform one."""

    def draw(self, generator: np.random.Generator) -> Point:
        """Draw a point; a pure function of the generator's state."""


class Space(Mapping[str, Dimension]):
    """Named dimensions, in order; as a `Distribution`, the uniform one over all of its points.

    A part of a space (`narrow`) is a space again, so ranges to draw from are written as one. The
    flat vector of a point, `[width]` in [0, 1], has the numbers of its dimensions in order: what
    searches over spaces, or learns a distribution over one, needs nothing else.

    Args:
        dimensions: by name.

    Raises:
        ValueError: it has none.

    Example:
        >>> from l2o.envs.simulators.dimensions import Categorical, Continuous
        >>> light = Categorical(("front", "left"), "front", "where light is from")
        >>> space = Space({"tilt": Continuous(0.0, 30.0, 5.0, "in degrees"), "light": light})
        >>> space.flatten({"tilt": 15.0, "light": "left"})
        array([0.5, 0. , 1. ])
        >>> space.narrow(light="left").unflatten(np.array([2.0, 1.0]))
        {'tilt': 30.0, 'light': 'left'}
    """

    def __init__(self, dimensions: Mapping[str, Dimension]) -> None:
        if not dimensions:
            raise ValueError("a space must have dimensions; give at least one")
        self._dimensions = dict(dimensions)

    def __getitem__(self, name: str) -> Dimension:
        return self._dimensions[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._dimensions)

    def __len__(self) -> int:
        return len(self._dimensions)

    def __repr__(self) -> str:
        return f"Space({self._dimensions!r})"

    @property
    def default(self) -> dict[str, Value]:
        """The point of all defaults."""
        return {name: dimension.default for name, dimension in self.items()}

    @property
    def width(self) -> int:
        """Numbers in the flat vector of a point."""
        return sum(dimension.width for dimension in self.values())

    def complete(self, point: Point) -> dict[str, Value]:
        """Return a checked point with a value for every dimension.

        Raises:
            ValueError: an unknown dimension (with the nearest one), or a value out of bounds.
        """
        self._check_names(point)
        return {
            name: dimension.check(name, point[name]) if name in point else dimension.default
            for name, dimension in self.items()
        }

    def clip(self, point: Point) -> dict[str, Value]:
        """Return the nearest point within the bounds, completed with defaults.

        Raises:
            ValueError: an unknown dimension.
        """
        self._check_names(point)
        return {
            name: dimension.clip(point[name]) if name in point else dimension.default
            for name, dimension in self.items()
        }

    def draw(self, generator: np.random.Generator) -> dict[str, Value]:
        """Draw a point uniformly."""
        return {name: dimension.draw(generator) for name, dimension in self.items()}

    def sample(self, count: int, seed: int) -> list[dict[str, Value]]:
        """Return points drawn uniformly: a pure function of the seed."""
        generator = np.random.default_rng(seed)
        return [self.draw(generator) for _ in range(count)]

    def narrow(self, **parts: Any) -> Space:
        """Return a part of this space: per dimension a pair (low, high), choices, or one value.

        Raises:
            ValueError: an unknown dimension, or a part that does not lie within it.
        """
        self._check_names(parts)
        return Space(
            {
                name: dimension.narrow(name, parts[name]) if name in parts else dimension
                for name, dimension in self.items()
            }
        )

    def flatten(self, point: Point) -> Numbers:
        """Return the flat vector of a point, `[width]`, in [0, 1].

        Raises:
            ValueError: as `complete`.
        """
        whole = self.complete(point)
        return np.concatenate([self[name].numbers(value) for name, value in whole.items()])

    def unflatten(self, vector: Numbers) -> dict[str, Value]:
        """Return the point of a flat vector, which is clipped.

        Raises:
            ValueError: a vector of another length.
        """
        if np.shape(vector) != (self.width,):
            raise ValueError(
                f"a vector of shape {np.shape(vector)} is no point of this space; give one of "
                f"shape ({self.width},)"
            )
        ends = np.cumsum([dimension.width for dimension in self.values()])
        parts = np.split(np.asarray(vector, dtype=np.float64), ends[:-1])
        return {name: self[name].value(part) for name, part in zip(self, parts, strict=True)}

    def known(self, name: str) -> str:
        """Return the name of a dimension.

        Raises:
            ValueError: there is none of that name; the message has the nearest one.
        """
        if name not in self:
            raise ValueError(unknown_name("parameter", name, list(self)))
        return name

    def _check_names(self, given: Mapping[str, Any]) -> None:
        for name in given:
            self.known(name)
