"""Ray Tune's Optuna searcher over a simulator's parameters."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import numpy as np

from l2o.extras import needed_by
from l2o.policies.reinforce.simulators.base import Tried, Vectors
from l2o.policies.reinforce.simulators.best import BestOf

with needed_by("search optuna", "ray"):
    import optuna
    from ray import tune
    from ray.tune.search.optuna import OptunaSearch as Searcher


class OptunaSearch(BestOf):
    """Ray Tune's `OptunaSearch` (by default Optuna's tree-structured Parzen estimator).

    The searcher is asked for a batch of vectors and then told their rewards, without a cluster of
    Ray. One that goes on is asked and told again all that it was, which brings it to where it was.

    Args:
        **given: as `BestOf` takes them.

    Raises:
        MissingExtraError: Ray or Optuna is not installed.
    """

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self._searcher = self._make()
        self._asked = 0

    def _make(self) -> Any:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        logging.getLogger("ray.tune").setLevel(logging.ERROR)
        space = {self._name(i): tune.uniform(-1.0, 1.0) for i in range(self.actions.width)}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Searcher(space, metric="reward", mode="max", seed=self.seed % 2**32)

    def propose(self, count: int) -> Vectors:
        """Ask the searcher."""
        asked = [self._searcher.suggest(str(self._asked + i)) for i in range(count)]
        names = [self._name(i) for i in range(self.actions.width)]
        return np.array([[found[name] for name in names] for found in asked])

    def learn(self, vectors: Vectors, tried: Tried) -> None:
        """Tell it what each was worth."""
        for reward in tried.rewards:
            self._searcher.on_trial_complete(str(self._asked), {"reward": float(reward)})
            self._asked += 1

    def replay(self) -> None:
        """Ask and tell again."""
        self._searcher, self._asked = self._make(), 0
        rewards = np.array(self.rewards)
        for first in range(0, len(rewards), self.batch):
            told = rewards[first : first + self.batch]
            vectors = self.propose(len(told))
            self.learn(vectors, Tried(told, np.zeros(len(told), np.bool_)))

    @staticmethod
    def _name(number: int) -> str:
        return f"v{number:04d}"
