"""What all learners of stable-baselines3 share: environments, imitation first, counts, resume."""

from __future__ import annotations

import time
from abc import abstractmethod
from typing import Any

import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from l2o.deciding.learned import LearnedPolicy
from l2o.envs.fine_tuning.inner_loop import decision_interval
from l2o.networks.layer_shared import LayerPolicyNetwork
from l2o.policies.common.episode_metrics import EpisodeWatch, learning_metrics
from l2o.policies.common.learner import Learner
from l2o.policies.common.networks import export_policy
from l2o.policies.common.timings import TimeShares
from l2o.policies.common.vector_environments import make_environments, seed_environments
from l2o.policies.imitation import imitate


class SB3Learner(Learner):
    """A learner whose algorithm is stable-baselines3's.

    Attributes:
        model: the algorithm.
        environments: what it learns on.
        decisions: per iteration, over all environments.
        iterations: done so far.
    """

    model: BaseAlgorithm
    environments: VecEnv
    decisions: int
    iterations: int
    _shares: TimeShares

    def _open(self, decisions: int) -> None:
        """Make the environments; called once all options are known to be right."""
        self.environments = make_environments(self.config)
        self.iterations, self.decisions = 0, decisions
        self._shares = TimeShares(self.environments)
        torch.manual_seed(self.config.seed)

    @property
    @abstractmethod
    def _network(self) -> LayerPolicyNetwork:
        """The network that is deployed."""

    def _imitate_first(self) -> None:
        """Imitate before the first iteration, if asked to."""
        if self.iterations == 0 and self.config.imitation is not None:
            imitate(self._network, self.config)
            self.episodes += self.config.imitation.episodes

    def _finish(self, watch: EpisodeWatch, started: float) -> dict[str, float]:
        """Count an iteration that began at `started`, and return its metrics."""
        self.iterations += 1
        self.episodes += len(watch.episodes)
        steps = watch.steps(self.decisions, decision_interval(self.config.finetuning))
        self.fine_tune_steps += steps
        total = time.perf_counter() - started
        return learning_metrics(watch, self.model.logger, self._shares, steps, total)

    def policy(self) -> LearnedPolicy:
        """Return a copy of the network as a policy."""
        return export_policy(self.config, self._network)

    def _counters(self) -> dict[str, Any]:
        """Return what `_restore` takes."""
        return {
            "timesteps": self.model.num_timesteps,
            "iterations": self.iterations,
            "episodes": self.episodes,
            "fine_tune_steps": self.fine_tune_steps,
            "torch_rng": torch.get_rng_state(),
        }

    def _restore(self, state: dict[str, Any]) -> None:
        """Take counters, and draw the episodes to come from seeds not used before."""
        self.model.num_timesteps = state["timesteps"]
        self.iterations = state["iterations"]
        self.episodes = state["episodes"]
        self.fine_tune_steps = state["fine_tune_steps"]
        seed_environments(self.environments, self.config, self.iterations)
        torch.set_rng_state(state["torch_rng"])

    def close(self) -> None:
        """End the environments' processes."""
        self.environments.close()
