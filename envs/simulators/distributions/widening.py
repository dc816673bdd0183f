"""Automatic domain randomization: ranges that widen where a network has learned enough."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from l2o.envs.simulators.dimensions import Categorical, Integer
from l2o.envs.simulators.distributions.uniform import Uniform
from l2o.envs.simulators.space import Point, Space


class Boundary(NamedTuple):
    """One end of a parameter's range: its name, and whether it is the upper end."""

    name: str
    upper: bool


class Widening:
    """A curriculum of ranges that begins at one point.

    Performance is measured with one parameter held at an end of its range, all others drawn. When
    an end has been measured `buffer` times,

        mean >= high: the end moves outward by `step` of the parameter's bounds,
        mean <= low:  it moves inward, at most back to the start,

    and what was measured there is forgotten. Source: Akkaya et al., Solving Rubik's Cube with a
    Robot Hand, 2019, algorithm 1. Choices have no ends; they stay as `weights` says.

    Args:
        space: of the simulator.
        start: the point that ranges begin at; what it leaves out is at its default.
        low: performance at which a range becomes narrower.
        high: performance at which it becomes wider.
        step: how far an end moves, as a share of the parameter's bounds; whole numbers move by one
            at least.
        buffer: measurements of an end until it moves.
        weights: of choices, as `Uniform` has them; None: the choices of `start` alone.

    Raises:
        ValueError: impossible values, or a space without numbers.

    Example:
        >>> from l2o.envs.simulators.dimensions import Continuous
        >>> space = Space({"tilt": Continuous(0.0, 30.0, 5.0, "in degrees")})
        >>> widening = Widening(space, step=0.1, buffer=1)
        >>> widening.tell(Boundary("tilt", True), 0.95)
        'wider'
        >>> widening.distribution().ends("tilt")
        (5.0, 8.0)
    """

    def __init__(
        self,
        space: Space,
        start: Point | None = None,
        *,
        low: float = 0.5,
        high: float = 0.8,
        step: float = 0.05,
        buffer: int = 4,
        weights: Mapping[str, Mapping[str, float]] | None = None,
    ) -> None:
        if not low < high:
            raise ValueError(
                f"low={low} must be below high={high}; else ranges move back and forth"
            )
        if not 0 < step <= 1:
            raise ValueError(f"step={step} is no share above 0 and up to 1; give one")
        if buffer < 1:
            raise ValueError(f"buffer={buffer} must be 1 or more")
        self.space, self.low, self.high = space, low, high
        self.step, self.buffer = step, buffer
        self.start = space.complete(start or {})
        self.weights = dict(weights or {})
        self.names = [n for n, each in space.items() if not isinstance(each, Categorical)]
        if not self.names:
            raise ValueError("a space of choices alone has no ends to widen; give one with numbers")
        self._ends = {name: [float(self.start[name])] * 2 for name in self.names}
        self._measured: dict[Boundary, list[float]] = {}

    def distribution(self) -> Uniform:
        """Return the ranges as they are now."""
        return Uniform(self.space, self._ranges(), self.weights)

    def draw_boundary(self, generator: np.random.Generator) -> Boundary:
        """Draw an end to measure at, uniformly."""
        place = int(generator.integers(2 * len(self.names)))
        return Boundary(self.names[place // 2], bool(place % 2))

    def at(self, boundary: Boundary) -> Uniform:
        """Return the distribution that performance is measured on: one parameter at its end."""
        end = self._ends[boundary.name][boundary.upper]
        return Uniform(self.space, {**self._ranges(), boundary.name: end}, self.weights)

    def tell(self, boundary: Boundary, performance: float) -> str:
        """Take in a measurement; return what it led to: wider, narrower, or nothing, "".

        Raises:
            ValueError: a performance that is not finite, or an unknown parameter.
        """
        if not np.isfinite(performance):
            raise ValueError(f"performance {performance} is not finite; leave such runs out")
        if boundary.name not in self._ends:
            self.space.known(boundary.name)
            raise ValueError(f"{boundary.name} is a choice, which has no ends")
        seen = self._measured.setdefault(boundary, [])
        seen.append(float(performance))
        if len(seen) < self.buffer:
            return ""
        mean = float(np.mean(seen))
        del self._measured[boundary]
        if mean >= self.high:
            return "wider" if self._move(boundary, 1.0) else ""
        if mean <= self.low:
            return "narrower" if self._move(boundary, -1.0) else ""
        return ""

    def state_dict(self) -> dict[str, Any]:
        """Return the ends, and what was measured at them, as plain data."""
        seen = [[b.name, b.upper, list(values)] for b, values in self._measured.items()]
        return {"ends": {name: list(ends) for name, ends in self._ends.items()}, "measured": seen}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state_dict()`."""
        self._ends = {name: [float(end) for end in state["ends"][name]] for name in self.names}
        self._measured = {
            Boundary(str(name), bool(upper)): [float(value) for value in values]
            for name, upper, values in state["measured"]
        }

    def _ranges(self) -> dict[str, Any]:
        fixed = {
            name: value
            for name, value in self.start.items()
            if name not in self.names and name not in self.weights
        }
        return {**fixed, **{name: tuple(self._ends[name]) for name in self.names}}

    def _move(self, boundary: Boundary, outward: float) -> bool:
        """Move an end; return whether it moved."""
        dimension: Any = self.space[boundary.name]
        length = self.step * (dimension.high - dimension.low)
        if isinstance(dimension, Integer):
            length = max(1, round(length))
        ends, start = self._ends[boundary.name], float(self.start[boundary.name])
        before = ends[boundary.upper]
        if boundary.upper:
            ends[1] = float(min(max(before + outward * length, start), dimension.high))
        else:
            ends[0] = float(max(min(before - outward * length, start), dimension.low))
        return ends[boundary.upper] != before
