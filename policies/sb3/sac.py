"""Soft actor-critic by stable-baselines3."""

from __future__ import annotations

import time
from functools import partial
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from stable_baselines3 import SAC
from stable_baselines3.common.logger import Logger

from l2o.checks import check_number
from l2o.configs.schema import TrainConfig
from l2o.envs.runtime.seeds import narrow_seed
from l2o.networks.layer_shared import LayerPolicyNetwork
from l2o.policies.common.episode_metrics import EpisodeWatch
from l2o.policies.common.networks import build_layer_network
from l2o.policies.common.options import check_counts
from l2o.policies.common.refusals import (
    check_continuous,
    check_layer_shared,
    check_memoryless,
)
from l2o.policies.common.vector_environments import count_environments
from l2o.policies.sb3.learner import SB3Learner
from l2o.policies.sb3.sac_policy import LayerActor, LayerSACPolicy


class SACLearner(SB3Learner):
    """SAC (Haarnoja et al., Soft Actor-Critic Algorithms and Applications) on fine-tunes.

    It learns from all decisions of the past, not only from the newest as PPO does: fewer
    fine-tunes for more arithmetic. The policy acts from the first decision on, with its noise:
    most uniformly random multipliers would only diverge, and not be what imitation began with.

    Args:
        config: the training config.
        decisions: per iteration, over all environments.
        learning_rate: of Adam, for the actor, the critics and the entropy's weight.
        buffer_size: newest decisions that are kept to learn from.
        learning_starts: decisions before the first gradient step; after a resume, too, since
            the buffer begins empty then.
        batch_size: decisions per gradient step.
        tau: share of the critics that goes into their targets at each gradient step.
        discount: γ. Below 1, since values here are learned from values: that damps their errors.
        train_freq: decisions of every environment between two updates.
        gradient_steps: per update.
        entropy: weight of the entropy term; "auto" learns it, "auto_0.1" beginning from 0.1.
        target_entropy: what a learned weight aims at, for each layer that is present, in nats of
            actions in [-1, 1]; −1 is a standard deviation of 0.09 in the middle of the range.
        log_std: initial log standard deviation of actions.
        critic_first: iterations in which only the critics learn: after imitation, so that what
            was imitated is not undone by critics that know nothing yet.

    Raises:
        ValueError: values out of range, decisions that do not divide among updates, actions that
            are not on a log scale, or a recurrent or asg_2020 network.
    """

    def __init__(
        self,
        config: TrainConfig,
        *,
        decisions: int = 480,
        learning_rate: float = 1e-3,
        buffer_size: int = 50_000,
        learning_starts: int = 1000,
        batch_size: int = 256,
        tau: float = 0.01,
        discount: float = 0.99,
        train_freq: int = 1,
        gradient_steps: int = 4,
        entropy: float | str = "auto_0.1",
        target_entropy: float = -1.0,
        log_std: float = -1.0,
        critic_first: int = 0,
    ) -> None:
        super().__init__(config)
        _check_policy(config)
        for name, number, high in (("learning_rate", learning_rate, np.inf), ("tau", tau, 1.0)):
            check_number(f"algorithm.options.{name}", number, 0.0, high, above=True)
        check_number("algorithm.options.discount", discount, 0.0, 1.0)
        check_counts(decisions=decisions, buffer_size=buffer_size, batch_size=batch_size)
        check_counts(train_freq=train_freq, gradient_steps=gradient_steps)
        for name, number in (("learning_starts", learning_starts), ("critic_first", critic_first)):
            check_number(f"algorithm.options.{name}", number)
        check_number("algorithm.options.log_std", log_std, -20.0, 20.0)
        check_number("algorithm.options.target_entropy", target_entropy, -1e9)
        _check_entropy(entropy)
        _check_counts(decisions, count_environments(config), train_freq, buffer_size)
        self._learning_starts, self._critic_first = learning_starts, critic_first
        self._open(decisions)
        self.model: _SAC = _SAC(
            LayerSACPolicy,
            self.environments,
            learning_rate=learning_rate,
            buffer_size=buffer_size,
            learning_starts=learning_starts,
            batch_size=batch_size,
            tau=tau,
            gamma=discount,
            train_freq=train_freq,
            gradient_steps=gradient_steps,
            ent_coef=entropy,
            target_entropy=0.0,  # the actor counts from its own, by the number of layers
            policy_kwargs={
                "hidden": config.network.hidden,
                "make_network": partial(build_layer_network, config),
                "log_std": log_std,
                "target_entropy": target_entropy,
            },
            seed=narrow_seed(config.seed),
            device="cpu",
        )
        self.model.set_logger(_MeanLogger(None, []))

    def iterate(self) -> dict[str, float]:
        """Collect `decisions` decisions, learning all along; imitate first if asked to."""
        started = time.perf_counter()
        self._imitate_first()
        self._actor.requires_grad_(self.iterations >= self._critic_first)
        watch = EpisodeWatch()
        self.model.logger.dump()  # forgets the iteration before
        self.model.learn(
            self.decisions,
            callback=watch,
            reset_num_timesteps=False,
            log_interval=None,  # type: ignore[arg-type]
        )
        return {
            **self._finish(watch, started),
            "n_updates": float(self.model._n_updates),
            "std": float(self._actor.log_std.detach().exp()),
        }

    @property
    def _actor(self) -> LayerActor:
        return cast(LayerActor, self.model.policy.actor)

    @property
    def _network(self) -> LayerPolicyNetwork:
        return self._actor.network

    def state_dict(self) -> dict[str, Any]:
        """Return weights, optimizers and counters.

        Neither episodes under way nor the replay buffer are kept: a resumed run collects
        `learning_starts` decisions before it learns on.
        """
        model = self.model
        learned = model.ent_coef_optimizer
        return {
            "policy": model.policy.state_dict(),
            "actor_optimizer": model.actor.optimizer.state_dict(),
            "critic_optimizer": model.critic.optimizer.state_dict(),
            "log_entropy": None if model.log_ent_coef is None else model.log_ent_coef.detach(),
            "entropy_optimizer": None if learned is None else learned.state_dict(),
            "updates": model._n_updates,
            **self._counters(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on; the environments begin new episodes, drawn from seeds not used before."""
        model = self.model
        model.policy.load_state_dict(state["policy"])
        model.actor.optimizer.load_state_dict(state["actor_optimizer"])
        model.critic.optimizer.load_state_dict(state["critic_optimizer"])
        if model.log_ent_coef is not None and model.ent_coef_optimizer is not None:
            model.log_ent_coef.data.copy_(state["log_entropy"])
            model.ent_coef_optimizer.load_state_dict(state["entropy_optimizer"])
        model._n_updates = state["updates"]
        self._restore(state)
        model.learning_starts = model.num_timesteps + self._learning_starts


class _SAC(SAC):
    """SAC whose policy acts while the buffer fills, too."""

    def _sample_action(
        self, learning_starts: int, action_noise: Any = None, n_envs: int = 1
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        return super()._sample_action(0, action_noise, n_envs)


class _MeanLogger(Logger):
    """Keeps means over an iteration, which has many updates; left to itself, SB3 the last."""

    def record(self, key: str, value: Any, exclude: Any = None) -> None:
        self.record_mean(key, value, exclude)


def _check_policy(config: TrainConfig) -> None:
    check_layer_shared(config, "sac")
    check_memoryless(config, "sac")
    check_continuous(config, "sac")


def _check_entropy(entropy: float | str) -> None:
    if isinstance(entropy, str):
        kind, _, start = entropy.partition("_")
        try:
            if kind == "auto" and (start == "" or 0.0 < float(start) < np.inf):
                return
        except ValueError:
            pass
        raise ValueError(
            "algorithm.options.entropy must be a number, 'auto' or 'auto_X' with X above 0, "
            f"got {entropy!r}"
        )
    check_number("algorithm.options.entropy", entropy)


def _check_counts(decisions: int, environments: int, train_freq: int, buffer_size: int) -> None:
    if decisions % (environments * train_freq):
        raise ValueError(
            f"algorithm.options.decisions={decisions} must be a multiple of the {environments} "
            f"environments times train_freq={train_freq}"
        )
    if buffer_size < environments:
        raise ValueError(
            f"algorithm.options.buffer_size={buffer_size} must hold a decision of each of the "
            f"{environments} environments"
        )
