"""Structured domain randomization: a scenario is drawn first, the rest within it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from l2o.envs.simulators.dimensions import Value
from l2o.envs.simulators.distributions.base import PointDistribution
from l2o.envs.simulators.distributions.uniform import Uniform, draw_choice, normalised
from l2o.envs.simulators.space import Space
from l2o.registry import unknown_name


class Structured(PointDistribution):
    """A mixture of scenarios, in each of which parameters have ranges of their own.

        s ~ Categorical(w),   psi ~ p(psi | s)

    Parameters that belong together (a dark ground with strong noise) come together, which uniform
    randomization cannot say. Source: Prakash et al., Structured Domain Randomization: Bridging the
    Reality Gap by Context-Aware Synthetic Data, ICRA 2019, in which a scenario is drawn first, then
    what is in it.

    Args:
        space: of the simulator.
        scenarios: by name: `weight` (1 if left out), `ranges` and `weights`, as `Uniform` has them.

    Raises:
        ValueError: there is no scenario, it has an unknown field, or what it says is not in the
            space.

    Example:
        >>> from l2o.envs.simulators.dimensions import Continuous
        >>> space = Space({"tilt": Continuous(0.0, 30.0, 5.0, "in degrees")})
        >>> scenarios = {"upright": {"weight": 3, "ranges": {"tilt": 0}}, "any": {}}
        >>> Structured(space, scenarios).weights
        {'upright': 0.75, 'any': 0.25}
    """

    kind: ClassVar[str] = "structured"

    def __init__(self, space: Space, scenarios: Mapping[str, Any]) -> None:
        super().__init__(space)
        if not scenarios:
            raise ValueError("scenarios={} leaves nothing to draw; give one or more")
        told: dict[str, float] = {}
        self.scenarios: dict[str, Uniform] = {}
        for name, given in scenarios.items():
            fields = dict(given or {})
            told[name] = fields.pop("weight", 1.0)
            for field in fields:
                if field not in ("ranges", "weights"):
                    known = ["weight", "ranges", "weights"]
                    raise ValueError(unknown_name(f"field of scenario {name!r}", field, known))
            self.scenarios[name] = Uniform(space, **fields)
        self.weights = normalised("scenarios", told)

    def draw(self, generator: np.random.Generator) -> dict[str, Value]:
        """Draw a scenario, and a point within it."""
        return self.scenarios[draw_choice(self.weights, generator)].draw(generator)

    def options(self) -> dict[str, Any]:
        """Return the scenarios."""
        return {
            "scenarios": {
                name: {"weight": self.weights[name], **scenario.options()}
                for name, scenario in self.scenarios.items()
            }
        }

    def ends(self, name: str) -> tuple[float, float] | None:
        """Return the lowest and the highest end over the scenarios."""
        ends = [scenario.ends(name) for scenario in self.scenarios.values()]
        known = [each for each in ends if each is not None]
        return (min(low for low, _ in known), max(high for _, high in known)) if known else None

    def shares(self, name: str) -> dict[str, float]:
        """Return the probability of each choice, over all scenarios."""
        found: dict[str, float] = {}
        for scenario, weight in self.weights.items():
            for choice, share in self.scenarios[scenario].shares(name).items():
                found[choice] = found.get(choice, 0.0) + weight * share
        return found
