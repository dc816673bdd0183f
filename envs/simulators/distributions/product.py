"""A product of Gaussians and categoricals: what Learning to Simulate learns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from l2o.envs.simulators.dimensions import Categorical, Value, check_within
from l2o.envs.simulators.distributions.base import PointDistribution
from l2o.envs.simulators.distributions.uniform import check_weights, draw_choice
from l2o.envs.simulators.space import Space


class Product(PointDistribution):
    """Each number a Gaussian, clipped to its bounds; each choice a categorical; independent.

        psi_d = clip(m_d + s_d · e, low_d, high_d),   e ~ N(0, 1)

    Source: Ruiz, Schulter and Chandraker, Learning to Simulate, ICLR 2019.

    Args:
        space: of the simulator.
        mean: per number its mean, in its own unit; of those left out the default.
        std: per number its standard deviation, in its own unit; of those left out 0.
        weights: per categorical parameter the weight of each choice; of those left out all are
            even.

    Raises:
        ValueError: a mean out of bounds, a deviation that is negative or not finite, or weights
            that are none.

    Example:
        >>> from l2o.envs.simulators.dimensions import Continuous
        >>> space = Space({"tilt": Continuous(0.0, 30.0, 5.0, "in degrees")})
        >>> Product(space, {"tilt": 4.0}, {"tilt": 1.0}).ends("tilt")
        (2.0, 6.0)
    """

    kind: ClassVar[str] = "product"

    def __init__(
        self,
        space: Space,
        mean: Mapping[str, Any] | None = None,
        std: Mapping[str, float] | None = None,
        weights: Mapping[str, Mapping[str, float]] | None = None,
    ) -> None:
        super().__init__(space)
        self.mean: dict[str, float] = {}
        self.std: dict[str, float] = {}
        self.weights: dict[str, dict[str, float]] = {}
        mean, std, weights = dict(mean or {}), dict(std or {}), dict(weights or {})
        for name in (*mean, *std, *weights):
            space.known(name)
        for name, dimension in space.items():
            if isinstance(dimension, Categorical):
                _refuse(name, mean, std)
                even = dict.fromkeys(dimension.choices, 1.0)
                self.weights[name] = check_weights(space, name, weights.get(name, even))
            else:
                bounded: Any = dimension
                middle = mean.get(name, dimension.default)
                # A whole number's mean need not be whole.
                self.mean[name] = float(check_within(name, middle, bounded.low, bounded.high))
                self.std[name] = _check_std(name, std.get(name, 0.0))
        for name in weights:
            if name not in self.weights:
                check_weights(space, name, weights[name])

    def draw(self, generator: np.random.Generator) -> dict[str, Value]:
        """Draw a point, dimension by dimension."""
        return {
            name: draw_choice(self.weights[name], generator)
            if name in self.weights
            else dimension.clip(self.mean[name] + self.std[name] * generator.standard_normal())
            for name, dimension in self.space.items()
        }

    def options(self) -> dict[str, Any]:
        """Return means, deviations and weights of all parameters."""
        weights = {name: dict(each) for name, each in self.weights.items()}
        return {"mean": dict(self.mean), "std": dict(self.std), "weights": weights}

    def ends(self, name: str) -> tuple[float, float] | None:
        """Return two standard deviations to either side, within the bounds."""
        dimension: Any = self.space[self.space.known(name)]
        if name not in self.mean:
            return None
        middle, reach = self.mean[name], 2.0 * self.std[name]
        return max(middle - reach, float(dimension.low)), min(middle + reach, float(dimension.high))

    def shares(self, name: str) -> dict[str, float]:
        """Return the probability of each choice."""
        dimension = self.space[self.space.known(name)]
        if not isinstance(dimension, Categorical):
            return {}
        return {choice: self.weights[name].get(choice, 0.0) for choice in dimension.choices}


def _refuse(name: str, *given: Mapping[str, Any]) -> None:
    if any(name in each for each in given):
        raise ValueError(f"{name} is a choice, which has no mean and std; give it weights")


def _check_std(name: str, std: Any) -> float:
    known = isinstance(std, int | float) and not isinstance(std, bool)
    if not known or not 0 <= std < np.inf:
        raise ValueError(f"std of {name} is {std!r}; give a finite number of 0 or more")
    return float(std)
