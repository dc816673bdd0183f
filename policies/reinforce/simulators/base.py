"""The contract of what searches for a distribution over a simulator's parameters."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from l2o.envs.simulators import Space
from l2o.envs.simulators.distributions import PointDistribution
from l2o.envs.simulators.learning import ACTIONS
from l2o.registry import lookup

Vectors = NDArray[np.float64]


class Ask(NamedTuple):
    """A distribution to try; `judged_on` as `Trial` has it."""

    distribution: PointDistribution
    judged_on: PointDistribution | None = None


class Tried(NamedTuple):
    """What trials were worth.

    Attributes:
        rewards: `[K]`, those of failed trials at what failing is worth.
        failed: `[K]`.
    """

    rewards: NDArray[np.float64]
    failed: NDArray[np.bool_]


Try = Callable[[Sequence[Ask]], Tried]
"""Runs trials, each a fine-tune; the only way to spend the budget."""


class Search(ABC):
    """Searches for a distribution over psi, a batch of trials at a time.

    Every source of randomness is seeded, and `state_dict` has all of it, so that a search that goes
    on is the one that was never stopped.

    Args:
        space: of the simulator.
        start: the distribution that the search begins at (a warm start).
        actions: what a decision is, a key of `l2o.envs.simulators.learning.ACTIONS`.
        seed: of all that it draws.
        budget: trials that it will have.

    Attributes:
        batch: trials of an iteration.
    """

    batch: int

    def __init__(
        self, *, space: Space, start: PointDistribution, actions: str, seed: int, budget: int
    ) -> None:
        self.space, self.start, self.seed, self.budget = space, start, seed, budget
        self.actions = lookup("action", ACTIONS, actions)(space, start)
        self.first = self.actions.vector(start)

    @abstractmethod
    def iterate(self, try_: Try, count: int) -> dict[str, float]:
        """Spend `count` trials, at most `batch`, and learn from them.

        Returns:
            What a log tells of it.
        """

    @abstractmethod
    def distribution(self) -> PointDistribution:
        """Return what the search would give as it stands."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """Return all that it goes on from, as plain data and tensors."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict()`."""

    def try_vectors(self, try_: Try, vectors: Vectors) -> Tried:
        """Try the distributions that vectors `[K, width]` stand for."""
        return try_([Ask(self.actions.distribution(vector)) for vector in vectors])


def check_batch(batch: int, budget: int) -> int:
    """Return the trials of an iteration.

    Raises:
        ValueError: fewer than two, or more than there will be.
    """
    if isinstance(batch, bool) or not isinstance(batch, int) or not 2 <= batch <= budget:
        raise ValueError(
            f"search.options.batch={batch!r} must be a whole number from 2 to the budget of "
            f"{budget} trials"
        )
    return batch


def generator_state(generator: np.random.Generator) -> str:
    """Return a generator's state as text, which a checkpoint keeps exactly."""
    return json.dumps(generator.bit_generator.state)


def set_generator_state(generator: np.random.Generator, state: str) -> None:
    """Take a state over that `generator_state` returned."""
    generator.bit_generator.state = json.loads(state)
