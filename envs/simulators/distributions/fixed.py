"""One point."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from l2o.envs.simulators.dimensions import Categorical, Value
from l2o.envs.simulators.distributions.base import PointDistribution
from l2o.envs.simulators.space import Point, Space


class Fixed(PointDistribution):
    """All of the probability at one point: every image of a set is drawn at the same psi.

    Args:
        space: of the simulator.
        psi: the point; what it leaves out is at its default.

    Raises:
        ValueError: a point that is not in the space.

    Example:
        >>> from l2o.envs.simulators.dimensions import Continuous
        >>> space = Space({"tilt": Continuous(0.0, 30.0, 5.0, "in degrees")})
        >>> Fixed(space, {"tilt": 3}).draw(np.random.default_rng(0))
        {'tilt': 3.0}
    """

    kind: ClassVar[str] = "point"

    def __init__(self, space: Space, psi: Point | None = None) -> None:
        super().__init__(space)
        self.psi = space.complete(psi or {})

    def draw(self, generator: np.random.Generator) -> dict[str, Value]:
        """Return the point."""
        del generator
        return dict(self.psi)

    def options(self) -> dict[str, Any]:
        """Return the point."""
        return {"psi": dict(self.psi)}

    def ends(self, name: str) -> tuple[float, float] | None:
        """Return its number twice."""
        value = self.psi[self.space.known(name)]
        return None if isinstance(value, str) else (float(value), float(value))

    def shares(self, name: str) -> dict[str, float]:
        """Return 1 for the choice that it is."""
        dimension = self.space[self.space.known(name)]
        if not isinstance(dimension, Categorical):
            return {}
        return {choice: float(choice == self.psi[name]) for choice in dimension.choices}
