"""Automatic domain randomization as a search: ranges widen as the network copes with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from l2o.envs.simulators.dimensions import Categorical
from l2o.envs.simulators.distributions import PointDistribution
from l2o.envs.simulators.distributions.widening import Boundary, Widening
from l2o.policies.reinforce.simulators.base import (
    Ask,
    Search,
    Try,
    check_batch,
    generator_state,
    set_generator_state,
)


class Curriculum(Search):
    """Automatic domain randomization (Akkaya et al., 2019), with fine-tunes as measurements.

    Each trial trains on the ranges as they are, and is scored on drawn images at one end of one of
    them: no real image is looked at. Failed trials are not told.

    Args:
        batch: trials of an iteration.
        low: accuracy (the task's main metric) at which a range becomes narrower.
        high: accuracy at which it becomes wider.
        step: how far an end moves, as a share of the parameter's bounds.
        buffer: measurements of an end until it moves.
        weights: of choices, by parameter; null: those of the start.
        **given: as `Search` takes them.

    Raises:
        ValueError: values out of range.
    """

    def __init__(
        self,
        *,
        batch: int = 16,
        low: float = 0.5,
        high: float = 0.8,
        step: float = 0.1,
        buffer: int = 2,
        weights: Mapping[str, Mapping[str, float]] | None = None,
        **given: Any,
    ) -> None:
        super().__init__(**given)
        self.batch = check_batch(batch, self.budget)
        middle: dict[str, Any] = {}
        shares: dict[str, Mapping[str, float]] = {}
        for name, dimension in self.space.items():
            if isinstance(dimension, Categorical):
                shares[name] = self.start.shares(name)
            else:
                ends = self.start.ends(name)
                assert ends is not None  # it is a number
                middle[name] = dimension.clip(sum(ends) / 2)
        self.widening = Widening(
            self.space,
            middle,
            low=low,
            high=high,
            step=step,
            buffer=buffer,
            weights={**shares, **(weights or {})},
        )
        self.generator = np.random.default_rng(self.seed)

    def iterate(self, try_: Try, count: int) -> dict[str, float]:
        """Measure at `count` ends, and move those that were measured often enough."""
        ends: list[Boundary] = [self.widening.draw_boundary(self.generator) for _ in range(count)]
        now = self.widening.distribution()
        tried = try_([Ask(now, self.widening.at(end)) for end in ends])
        moves = [
            self.widening.tell(end, float(reward))
            for end, reward, failed in zip(ends, tried.rewards, tried.failed, strict=True)
            if not failed
        ]
        return {
            "wider": float(moves.count("wider")),
            "narrower": float(moves.count("narrower")),
            "width": self._width(),
        }

    def _width(self) -> float:
        """Return the mean width of the ranges, as a share of the bounds."""
        now, shares = self.widening.distribution(), []
        for name in self.widening.names:
            dimension: Any = self.space[name]
            low, high = now.ends(name) or (0.0, 0.0)
            shares.append((high - low) / max(dimension.high - dimension.low, 1e-12))
        return float(np.mean(shares))

    def distribution(self) -> PointDistribution:
        """Return the ranges as they are."""
        return self.widening.distribution()

    def state_dict(self) -> dict[str, Any]:
        """Return ends, measurements and random state."""
        return {
            "widening": self.widening.state_dict(),
            "generator": generator_state(self.generator),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on."""
        self.widening.load_state_dict(state["widening"])
        set_generator_state(self.generator, state["generator"])
