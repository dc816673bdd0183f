"""What PPO over a simulator's parameters has in common, whoever's PPO it is."""

from __future__ import annotations

from typing import Any

from l2o.checks import check_number
from l2o.policies.reinforce.simulators.base import Search, Try, Vectors, check_batch
from l2o.policies.reinforce.simulators.own_random import OwnRandom


class ProximalSearch(Search):
    """PPO (Schulman et al., 2017) on episodes of one step.

    `batch` environments are stepped together; an episode is a draw, a training and a validation, as
    in `l2o/Simulator-v0`. Actions are offsets to the start, as PPO's Gaussian begins at 0. Nothing
    is observed. The last iteration of a budget that the batch does not divide is not learned from.

    Args:
        batch: environments, and so trials of an iteration.
        learning_rate: of Adam.
        epochs: passes over a batch.
        std: initial standard deviation of actions.
        **given: as `Search` takes them.

    Raises:
        ValueError: values out of range.
    """

    def __init__(
        self,
        *,
        batch: int = 8,
        learning_rate: float = 0.03,
        epochs: int = 10,
        std: float = 0.5,
        **given: Any,
    ) -> None:
        super().__init__(**given)
        self.batch = check_batch(batch, self.budget)
        check_number("search.options.learning_rate", learning_rate, above=True)
        check_number("search.options.std", std, above=True)
        self.learning_rate, self.epochs, self.std = learning_rate, epochs, std
        self.random = OwnRandom()

    def worth(self, try_: Try, actions: Vectors) -> Vectors:
        """Return the rewards `[K]` of actions `[K, width]`."""
        return self.try_vectors(try_, (self.first + actions).clip(-1.0, 1.0)).rewards
