"""Collecting whole episodes from parallel environments, under a network with or without memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from l2o.networks.base import PolicyNetwork
from l2o.policies.sb3.distributions import LayerDistribution, layer_distribution


@dataclass
class Episode:
    """Decisions of one fine-tune: observations `[L, F]`, actions `[L]`, rewards."""

    observations: list[NDArray[np.float32]] = field(default_factory=list)
    actions: list[NDArray[Any]] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)
    info: dict[str, Any] = field(default_factory=dict)


class Batch(NamedTuple):
    """N episodes, padded to the longest: `[N, T, ...]`, and which decisions are real `[N, T]`."""

    observations: Tensor
    actions: Tensor
    rewards: NDArray[np.float64]
    mask: NDArray[np.bool_]

    @classmethod
    def of(cls, episodes: list[Episode]) -> Batch:
        """Return episodes as a batch."""
        longest = max(len(episode.rewards) for episode in episodes)

        def padded(values: list[Any]) -> NDArray[Any]:
            rows = np.stack([np.asarray(value) for value in values])
            return np.concatenate([rows, np.repeat(rows[-1:], longest - len(rows), axis=0)])

        mask = np.arange(longest) < np.array([[len(e.rewards)] for e in episodes])
        rewards = np.stack([padded(e.rewards) for e in episodes]).astype(np.float64) * mask
        return cls(
            torch.from_numpy(np.stack([padded(e.observations) for e in episodes])),
            torch.from_numpy(np.stack([padded(e.actions) for e in episodes])),
            rewards,
            mask,
        )


class Actor:
    """Acts in environments, and gathers the episodes that end.

    Args:
        environments: with autoreset, as stable-baselines3's are.
        network: decides; each environment has its own recurrent state.
        log_std: of Gaussian actions; None for bins.
    """

    def __init__(
        self, environments: VecEnv, network: PolicyNetwork, log_std: Tensor | None
    ) -> None:
        self.environments = environments
        self.network = network
        self.log_std = log_std
        self._observations: NDArray[np.float32] | None = None
        self._memory: Tensor | None = None
        self._episodes: list[Episode] = []

    def collect(self, count: int) -> list[Episode]:
        """Act until so many episodes have ended; what is under way goes on the next time."""
        if self._observations is None:
            self._begin()
        ended: list[Episode] = []
        while len(ended) < count:
            ended += self._step()
        return ended

    def forget(self) -> None:
        """Drop the episodes under way; the next ones begin with a reset of all environments."""
        self._observations = None

    def _begin(self) -> None:
        number = self.environments.num_envs
        seen = self.environments.reset()
        assert isinstance(seen, np.ndarray)
        self._check(seen)
        self._observations = seen
        self._memory = self.network.initial_state(number, seen.shape[1])
        self._episodes = [Episode() for _ in range(number)]

    def _check(self, seen: NDArray[np.float32]) -> None:
        groups = self.network.architecture().get("groups")
        layers = seen[..., 0].sum(axis=-1)
        if groups is not None and (layers != groups).any():
            raise ValueError(
                f"a policy network with a head for each of {groups} layer groups cannot learn on "
                f"networks of {int(layers.min())}; all networks of the task family must have the "
                "same number, or set network.kind=layer_shared"
            )

    def _step(self) -> list[Episode]:
        seen = self._observations
        assert seen is not None
        observations = torch.from_numpy(seen)
        # Not around all: environments train networks, and may do so in this process.
        with torch.no_grad():
            distribution, self._memory = act(self.network, self.log_std, observations, self._memory)
        actions = distribution.sample().numpy()
        after, rewards, ended, infos = self.environments.step(actions)
        assert isinstance(after, np.ndarray)
        self._observations = after
        for number, episode in enumerate(self._episodes):
            episode.observations.append(seen[number])
            episode.actions.append(actions[number])
            episode.rewards.append(float(rewards[number]))
        return [self._end(number, infos[number]) for number in np.flatnonzero(ended).tolist()]

    def _end(self, number: int, info: dict[str, Any]) -> Episode:
        episode, self._episodes[number] = self._episodes[number], Episode()
        episode.info = info
        if self._memory is not None:
            fresh = self.network.initial_state(1, episode.observations[0].shape[0])
            assert fresh is not None
            self._memory[number] = fresh[0]
        return episode


def act(
    network: PolicyNetwork, log_std: Tensor | None, observations: Tensor, memory: Tensor | None
) -> tuple[LayerDistribution, Tensor | None]:
    """Return the action distribution of observations `[N, L, F]`, and the next memory."""
    outputs, _, memory = network(observations, memory)
    return layer_distribution(outputs, log_std, observations[..., 0]), memory


def replay(network: PolicyNetwork, log_std: Tensor | None, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return log-probabilities and entropies `[N, T]` of a batch, with gradients through time."""
    number, longest, layers, _ = batch.observations.shape
    memory = network.initial_state(number, layers)
    chances, entropies = [], []
    for t in range(longest):
        distribution, memory = act(network, log_std, batch.observations[:, t], memory)
        chances.append(distribution.log_prob(batch.actions[:, t]))
        entropies.append(distribution.entropy())
    return torch.stack(chances, dim=1), torch.stack(entropies, dim=1)
