"""Random search over a simulator's parameters."""

from __future__ import annotations

from typing import Any

import numpy as np

from l2o.policies.reinforce.simulators.base import Vectors
from l2o.policies.reinforce.simulators.best import BestOf


class RandomSearch(BestOf):
    """Uniform draws of all vectors, the best of which is taken: what any search has to beat.

    Source: Bergstra and Bengio, Random Search for Hyper-Parameter Optimization, JMLR 2012.

    Args:
        **given: as `BestOf` takes them.
    """

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.generator = np.random.default_rng(self.seed)

    def propose(self, count: int) -> Vectors:
        """Draw uniformly."""
        return self.generator.uniform(-1.0, 1.0, (count, self.actions.width))

    def replay(self) -> None:
        """Draw what had been drawn."""
        self.generator = np.random.default_rng(self.seed)
        self.propose(len(self.vectors))
