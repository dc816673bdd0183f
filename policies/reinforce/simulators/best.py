"""What searches that learn nothing but what was best have in common."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np

from l2o.envs.simulators.distributions import PointDistribution
from l2o.policies.reinforce.simulators.base import Search, Tried, Try, Vectors, check_batch


class BestOf(Search):
    """Proposes vectors, and gives the one that was worth most in its one trial.

    Args:
        batch: trials of an iteration.
        **given: as `Search` takes them.
    """

    def __init__(self, *, batch: int = 16, **given: Any) -> None:
        super().__init__(**given)
        self.batch = check_batch(batch, self.budget)
        self.vectors: list[list[float]] = []
        self.rewards: list[float] = []

    @abstractmethod
    def propose(self, count: int) -> Vectors:
        """Return vectors to try `[count, width]`."""

    @abstractmethod
    def replay(self) -> None:
        """Bring what proposes to where it was when all of `vectors` had been tried."""

    def learn(self, vectors: Vectors, tried: Tried) -> None:
        """Take in what was found."""

    def iterate(self, try_: Try, count: int) -> dict[str, float]:
        """Propose, try, and remember; the start is the first vector that is tried."""
        vectors = self.propose(count)
        if not self.vectors:
            vectors[0] = self.first
        tried = self.try_vectors(try_, vectors)
        self.vectors += vectors.tolist()
        self.rewards += tried.rewards.tolist()
        self.learn(vectors, tried)
        return {"best_reward": max(self.rewards)}

    def distribution(self) -> PointDistribution:
        """Return the best; the start, before any trial."""
        if not self.rewards:
            return self.actions.distribution(self.first)
        return self.actions.distribution(np.array(self.vectors[int(np.argmax(self.rewards))]))

    def state_dict(self) -> dict[str, Any]:
        """Return all that was tried, and what it was worth."""
        return {"vectors": [list(v) for v in self.vectors], "rewards": list(self.rewards)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on."""
        self.vectors = [list(vector) for vector in state["vectors"]]
        self.rewards = list(state["rewards"])
        self.replay()
