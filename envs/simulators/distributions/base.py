"""The contract of distributions over points of a space."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np

from l2o.envs.simulators.dimensions import Value
from l2o.envs.simulators.space import Space


class PointDistribution(ABC):
    """A distribution over points, which is plain data: it can be written, read and drawn from.

    It is a `l2o.envs.simulators.Distribution`, so `Simulator.render` takes it: each image draws a
    point of its own.

    Args:
        space: of the simulator.

    Attributes:
        kind: its name in `DISTRIBUTIONS`.
    """

    kind: ClassVar[str]

    def __init__(self, space: Space) -> None:
        self.space = space

    @abstractmethod
    def draw(self, generator: np.random.Generator) -> dict[str, Value]:
        """Draw a whole point; a pure function of the generator's state."""

    @abstractmethod
    def options(self) -> dict[str, Any]:
        """Return what it is made of besides its space: JSON-able arguments of the class."""

    @abstractmethod
    def ends(self, name: str) -> tuple[float, float] | None:
        """Return between which numbers most values of a parameter lie; None where it has none.

        Of a range its ends, of a Gaussian two standard deviations to either side, within the
        bounds: what a report draws.

        Raises:
            ValueError: an unknown parameter.
        """

    @abstractmethod
    def shares(self, name: str) -> dict[str, float]:
        """Return the probability of each choice of a parameter; {} where it is a number.

        Raises:
            ValueError: an unknown parameter.
        """

    def to_plain(self) -> dict[str, Any]:
        """Return it as JSON-able data: `kind`, and its options."""
        return {"kind": self.kind, **self.options()}

    @classmethod
    def from_options(cls, space: Space, options: Mapping[str, Any]) -> Self:
        """Make it from what `options` returned.

        Raises:
            ValueError: unknown options, or values that are not in the space.
        """
        try:
            return cls(space, **options)
        except TypeError as error:
            told = str(error).partition(") ")[2] or str(error)
            raise ValueError(f"distribution {cls.kind!r}: {told}") from error

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.options()})"
