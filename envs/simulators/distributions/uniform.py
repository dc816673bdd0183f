"""Uniform domain randomization, within ranges, with weights of choices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from l2o.envs.simulators.dimensions import Categorical, Value
from l2o.envs.simulators.distributions.base import PointDistribution
from l2o.envs.simulators.space import Space


class Uniform(PointDistribution):
    """Each parameter uniform within its range, independently of the others.

        psi_d ~ U(low_d, high_d),   choice c of d with probability w_c / sum of w

    Source: Tobin et al., Domain Randomization for Transferring Deep Neural Networks from Simulation
    to the Real World, IROS 2017.

    Args:
        space: of the simulator.
        ranges: per parameter a pair (low, high), some of its choices, or one value; what is left
            out ranges over all of its dimension.
        weights: per categorical parameter the weight of each choice; of those left out 0. A
            parameter has either a range or weights.

    Raises:
        ValueError: a part that does not lie within its dimension; weights that are negative, not
            finite, all zero, or of a parameter that is a number.

    Example:
        >>> from l2o.envs.simulators.dimensions import Categorical, Continuous
        >>> light = Categorical(("front", "left"), "front", "where light is from")
        >>> space = Space({"tilt": Continuous(0.0, 30.0, 5.0, "in degrees"), "light": light})
        >>> Uniform(space, {"tilt": (10, 20)}, {"light": {"left": 1}}).ends("tilt")
        (10.0, 20.0)
    """

    kind: ClassVar[str] = "uniform"

    def __init__(
        self,
        space: Space,
        ranges: Mapping[str, Any] | None = None,
        weights: Mapping[str, Mapping[str, float]] | None = None,
    ) -> None:
        super().__init__(space)
        ranges, weights = dict(ranges or {}), dict(weights or {})
        both = sorted(set(ranges) & set(weights))
        if both:
            raise ValueError(f"{', '.join(both)}: given in ranges and in weights; keep one of them")
        self.part = space.narrow(**ranges)
        self._given = {name: ranges[name] for name in space if name in ranges}
        self.weights = {name: check_weights(space, name, given) for name, given in weights.items()}

    def draw(self, generator: np.random.Generator) -> dict[str, Value]:
        """Draw a point, dimension by dimension."""
        return {
            name: draw_choice(self.weights[name], generator)
            if name in self.weights
            else dimension.draw(generator)
            for name, dimension in self.part.items()
        }

    def options(self) -> dict[str, Any]:
        """Return ranges and weights, those that are given."""
        ranges = {
            name: list(given) if isinstance(given, tuple | list) else given
            for name, given in self._given.items()
        }
        return {"ranges": ranges, "weights": {name: dict(w) for name, w in self.weights.items()}}

    def ends(self, name: str) -> tuple[float, float] | None:
        """Return the ends of a range."""
        dimension: Any = self.part[self.space.known(name)]
        if isinstance(dimension, Categorical):
            return None
        return float(dimension.low), float(dimension.high)

    def shares(self, name: str) -> dict[str, float]:
        """Return the probability of each choice."""
        whole, part = self.space[self.space.known(name)], self.part[name]
        if not isinstance(whole, Categorical) or not isinstance(part, Categorical):
            return {}
        even = dict.fromkeys(part.choices, 1.0 / len(part.choices))
        chosen = self.weights.get(name, even)
        return {choice: chosen.get(choice, 0.0) for choice in whole.choices}


def draw_choice(shares: Mapping[str, float], generator: np.random.Generator) -> str:
    """Draw a name with its probability; one number of the generator, whatever the shares are."""
    ends = np.cumsum(list(shares.values()))
    place = int(np.searchsorted(ends, generator.random() * ends[-1], side="right"))
    # Rounding may leave the last end below the number.
    return list(shares)[min(place, len(shares) - 1)]


def check_weights(space: Space, name: str, given: Any) -> dict[str, float]:
    """Return the weights of a parameter's choices as probabilities that sum to 1.

    Raises:
        ValueError: not weights of a categorical parameter; the message says what they may be.
    """
    dimension = space[space.known(name)]
    if not isinstance(dimension, Categorical):
        raise ValueError(f"{name} is a number, which has no weights; give a range instead")
    return normalised(name, {dimension.check(name, choice): w for choice, w in dict(given).items()})


def normalised(name: str, weights: Mapping[str, Any]) -> dict[str, float]:
    """Return weights as probabilities that sum to 1.

    Raises:
        ValueError: one is negative or no finite number, or all are 0.
    """
    for key, weight in weights.items():
        known = isinstance(weight, int | float) and not isinstance(weight, bool)
        if not known or not 0 <= weight < np.inf:
            raise ValueError(
                f"{name}: weight {weight!r} of {key!r} is no finite number of 0 or more; give one"
            )
    total = float(sum(weights.values()))
    if not total > 0:
        raise ValueError(f"{name}: weights {dict(weights)} sum to 0; give one that is above it")
    return {key: float(weight) / total for key, weight in weights.items()}
