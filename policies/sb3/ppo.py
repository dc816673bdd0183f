"""Proximal policy optimisation by stable-baselines3."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger

from l2o.configs.schema import TrainConfig
from l2o.envs.runtime.seeds import narrow_seed
from l2o.networks.layer_shared import LayerPolicyNetwork
from l2o.networks.multipliers import LogRange
from l2o.policies.common.episode_metrics import EpisodeWatch
from l2o.policies.common.networks import action_range, build_layer_network, signal_spec
from l2o.policies.common.proximal import check_batches, check_learning, check_loss
from l2o.policies.common.refusals import check_layer_shared
from l2o.policies.common.vector_environments import count_environments
from l2o.policies.sb3.learner import SB3Learner
from l2o.policies.sb3.noise import LastingNoise
from l2o.policies.sb3.policy import LayerActorCriticPolicy
from l2o.policies.sb3.recurrent import MemoryKeeper, RecurrentLayerPolicy
from l2o.policies.sb3.sequences import SequenceBuffer


class PPOLearner(SB3Learner):
    """PPO (Schulman et al., Proximal Policy Optimization Algorithms) on parallel environments.

    With `network.recurrent`, minibatches are whole sequences: the decisions of an iteration in some
    of the environments, replayed with gradients through time (`l2o.policies.sb3.recurrent`).

    Args:
        config: the training config.
        decisions: per iteration, over all environments.
        learning_rate: of Adam.
        epochs: passes over an iteration's decisions.
        minibatches: per pass.
        discount: γ; 1 since episodes are finite and their end is observed.
        gae_lambda: λ of generalised advantage estimation.
        clip: of the policy ratio.
        entropy: weight of the entropy bonus.
        value: weight of the value loss.
        separate_critic: whether the critic is a network of its own.
        critic_first: iterations in which only the critic learns: after imitation, so that what
            was imitated is not undone by a critic that knows nothing yet.
        max_grad_norm: gradient clipping.
        target_kl: an iteration's passes stop early beyond it; None for never.
        log_std: initial log standard deviation of actions in [-1, 1].
        noise_memory: correlation of an action's noise with that of the decision before, in [0, 1):
            what is tried lasts (`l2o.policies.sb3.noise`).
        noise_shared: share of the noise's variance that the layers of a backbone have in common.
        group_baseline: whether the mean advantage of an environment's group is subtracted from
            its own (`environment.group`): what all of a group share is no action's doing.
        decay: whether the learning rate falls linearly to a tenth over the budget of episodes.

    Raises:
        ValueError: decisions that do not divide among environments and minibatches; for a
            recurrent network, environments that do not divide among minibatches; noise that lasts
            or is shared where actions are bins, or that is out of its range; numbers that are none.
    """

    def __init__(
        self,
        config: TrainConfig,
        *,
        decisions: int = 480,
        learning_rate: float = 1e-3,
        epochs: int = 10,
        minibatches: int = 4,
        discount: float = 1.0,
        gae_lambda: float = 0.95,
        clip: float = 0.2,
        entropy: float = 0.0,
        value: float = 0.5,
        max_grad_norm: float = 0.5,
        target_kl: float | None = 0.05,
        log_std: float = -1.0,
        noise_memory: float = 0.0,
        noise_shared: float = 0.0,
        separate_critic: bool = False,
        critic_first: int = 0,
        group_baseline: bool = False,
        decay: bool = False,
    ) -> None:
        super().__init__(config)
        check_layer_shared(config, "ppo")
        check_learning(learning_rate, discount, gae_lambda, log_std)
        check_loss(clip, entropy, value, max_grad_norm, target_kl)
        count, recurrent = count_environments(config), config.network.recurrent
        _check_counts(decisions, count, minibatches, epochs, recurrent)
        self.group = _baseline_group(config) if group_baseline else 1
        noise = _lasting_noise(config, noise_memory, noise_shared)
        self._decay, self._learning_rate, self._critic_first = decay, learning_rate, critic_first
        self._open(decisions)
        self.model: PPO = PPO(
            RecurrentLayerPolicy if recurrent else LayerActorCriticPolicy,
            self.environments,
            rollout_buffer_class=SequenceBuffer if recurrent else None,
            learning_rate=learning_rate,
            n_steps=decisions // count,
            batch_size=decisions // minibatches,
            n_epochs=epochs,
            gamma=discount,
            gae_lambda=gae_lambda,
            clip_range=clip,
            ent_coef=entropy,
            vf_coef=value,
            max_grad_norm=max_grad_norm,
            target_kl=target_kl,
            policy_kwargs={
                "hidden": config.network.hidden,
                "make_network": partial(build_layer_network, config),
                "separate_critic": separate_critic,
                "log_std": log_std,
                **noise,
            },
            seed=narrow_seed(config.seed),
            device="cpu",
        )
        # Left to itself, SB3 makes a log folder among the temporary files at every iteration.
        self.model.set_logger(Logger(None, []))

    def iterate(self) -> dict[str, float]:
        """Collect `decisions` decisions and update; before the first time, imitate if asked to."""
        started = time.perf_counter()
        self._imitate_first()
        watch = _RolloutWatch(self.group, advantages=self.iterations >= self._critic_first)
        if self._decay:
            left = max(0.0, 1.0 - self.episodes / self.config.episodes)
            self.model.lr_schedule = lambda _: self._learning_rate * (0.1 + 0.9 * left)
        callbacks: list[BaseCallback] = [watch]
        if self.config.network.recurrent:
            callbacks.append(MemoryKeeper())
        self.model.learn(self.decisions, callback=callbacks, reset_num_timesteps=False)
        return self._finish(watch, started)

    @property
    def _network(self) -> LayerPolicyNetwork:
        policy = self.model.policy
        assert isinstance(policy, LayerActorCriticPolicy)
        return policy.network

    def state_dict(self) -> dict[str, Any]:
        """Return weights, optimizer and counters; episodes under way are not kept."""
        return {
            "policy": self.model.policy.state_dict(),
            "optimizer": self.model.policy.optimizer.state_dict(),
            **self._counters(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on; the environments begin new episodes, drawn from seeds not used before."""
        self.model.policy.load_state_dict(state["policy"])
        self.model.policy.optimizer.load_state_dict(state["optimizer"])
        self._restore(state)


def _baseline_group(config: TrainConfig) -> int:
    if config.environment.group < 2:
        raise ValueError("group_baseline needs environment.group of 2 or more")
    return config.environment.group


def _lasting_noise(config: TrainConfig, memory: float, shared: float) -> dict[str, Any]:
    """Return the policy's arguments for noise that lasts; none where it is white.

    Raises:
        ValueError: actions that are bins, no signal that tells heads, numbers out of their range.
    """
    noise = LastingNoise(memory, shared)
    if not (memory or shared):
        return {}
    if not isinstance(action_range(config), LogRange):
        raise ValueError(
            "noise_memory and noise_shared need multipliers on a log scale; set both to 0, or "
            "environment.multipliers={kind: log}"
        )
    names = signal_spec(config).names
    if "is_head" not in names:
        raise ValueError("noise_memory and noise_shared need the signal is_head")
    return {"noise": noise, "head_at": names.index("is_head")}


def _check_counts(
    decisions: int, environments: int, minibatches: int, epochs: int, recurrent: bool
) -> None:
    check_batches(decisions, epochs, minibatches, environments)
    if recurrent and environments % minibatches:
        raise ValueError(
            f"algorithm.options.minibatches={minibatches} must divide the {environments} "
            "environments: a recurrent network learns from all decisions of some of them at a time"
        )


class _RolloutWatch(EpisodeWatch):
    """Changes the advantages, too, once a rollout has ended."""

    def __init__(self, group: int, advantages: bool = True) -> None:
        super().__init__()
        self.group = group
        self.advantages = advantages

    def _on_rollout_end(self) -> None:
        super()._on_rollout_end()
        buffer = self.locals["rollout_buffer"]
        if not self.advantages:
            buffer.advantages[:] = 0.0
        elif self.group > 1:
            buffer.advantages = less_group_mean(buffer.advantages, self.group)


def less_group_mean(advantages: NDArray[np.float32], group: int) -> NDArray[np.float32]:
    """Return advantages `[T, N]` minus the mean of the others of their group, at each decision.

    The others' actions do not depend on one's own: the gradient stays unbiased, and what a task
    gives to all alike is gone.

    Example:
        >>> less_group_mean(np.array([[1.0, 3.0, 5.0, 5.0]], np.float32), 2)
        array([[-2.,  2.,  0.,  0.]], dtype=float32)
    """
    each = advantages.reshape(len(advantages), -1, group)
    own = each - each.mean(axis=2, keepdims=True)
    return (own * (group / (group - 1))).reshape(advantages.shape)
