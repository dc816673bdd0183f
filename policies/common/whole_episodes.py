"""Learners that take one step per iteration, from whole episodes of parallel environments."""

from __future__ import annotations

import time
from abc import abstractmethod
from typing import Any

import torch
from stable_baselines3.common.vec_env import VecEnv

from l2o.configs.schema import TrainConfig
from l2o.deciding.learned import LearnedPolicy
from l2o.networks.base import PolicyNetwork
from l2o.policies.common.episode_metrics import summarise
from l2o.policies.common.learner import Learner
from l2o.policies.common.networks import export_policy
from l2o.policies.common.options import check_counts
from l2o.policies.common.timings import TimeShares, time_metrics
from l2o.policies.common.vector_environments import (
    count_environments,
    make_environments,
    seed_environments,
)


class WholeEpisodeLearner(Learner):
    """Counts, times and saves; subclasses say how episodes are collected and learned from.

    Args:
        config: the training config.
        episodes: fine-tunes per iteration; None: as many as there are environments.

    Attributes:
        network: what is learned, set by subclasses, and `optimizer`, its own.
        environments: they act in these, once `_open` has made them.

    Raises:
        ValueError: less than one fine-tune.
    """

    network: PolicyNetwork
    optimizer: torch.optim.Optimizer
    environments: VecEnv

    def __init__(self, config: TrainConfig, episodes: int | None) -> None:
        super().__init__(config)
        if episodes is not None:
            check_counts(episodes=episodes)
        self.count = episodes or count_environments(config)
        self.iterations = 0

    def _open(self) -> None:
        """Make the environments."""
        self.environments = make_environments(self.config)
        self.shares = TimeShares(self.environments)

    def _seed(self) -> None:
        """Let the environments begin new episodes, drawn from seeds not used before."""
        seed_environments(self.environments, self.config, self.iterations)

    @abstractmethod
    def _collect(self) -> tuple[Any, list[dict[str, Any]]]:
        """Act until `count` episodes have ended; return what is learned from, and their infos."""

    @abstractmethod
    def _learn(self, collected: Any) -> dict[str, float]:
        """Take one step; return metrics of it by name."""

    def iterate(self) -> dict[str, float]:
        """Collect whole episodes and take one step."""
        started = time.perf_counter()
        found, infos = self._collect()
        collecting = time.perf_counter() - started
        learned = self._learn(found)
        self.iterations += 1
        self.episodes += len(infos)
        steps = sum(int(info["step"]) for info in infos)
        self.fine_tune_steps += steps
        total = time.perf_counter() - started
        spent = time_metrics(
            self.shares, steps=steps, fine_tunes=len(infos), collecting=collecting, total=total
        )
        return {**summarise(infos), **learned, **spent}

    def policy(self) -> LearnedPolicy:
        """Return a copy of the network as a policy."""
        return export_policy(self.config, self.network)

    def state_dict(self) -> dict[str, Any]:
        """Return weights, optimizer and counters; episodes under way are not kept."""
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "iterations": self.iterations,
            "episodes": self.episodes,
            "fine_tune_steps": self.fine_tune_steps,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on; the environments begin new episodes, drawn from seeds not used before."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.iterations = state["iterations"]
        self.episodes = state["episodes"]
        self.fine_tune_steps = state["fine_tune_steps"]
        self._seed()

    def close(self) -> None:
        """End the environments' processes."""
        self.environments.close()
