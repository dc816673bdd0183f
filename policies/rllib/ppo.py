"""Proximal policy optimisation by RLlib, on its new API stack."""

from __future__ import annotations

import logging
import math
import time
from typing import Any

import torch

from l2o.configs.schema import TrainConfig
from l2o.deciding.learned import LearnedPolicy
from l2o.envs.fine_tuning.inner_loop import decision_interval
from l2o.envs.runtime.executor.on_ray.cluster import connect
from l2o.envs.runtime.seeds import narrow_seed
from l2o.extras import require
from l2o.policies.common.learner import Learner
from l2o.policies.common.networks import export_policy
from l2o.policies.common.proximal import check_batches, check_learning, check_loss
from l2o.policies.common.refusals import (
    check_continuous,
    check_layer_shared,
    check_memoryless,
)
from l2o.policies.imitation import imitate

NAME, ENVIRONMENT = "default_policy", "l2o-fine-tunes"


class RLlibPPOLearner(Learner):
    """PPO (Schulman et al., Proximal Policy Optimization Algorithms) of RLlib.

    Environments are stacked in runners, `workers` of them in Ray's workers (one: in this process);
    the network, its export and its evaluation are those of `ppo`. Options have the names and the
    defaults that `ppo` has. Checkpoints are tensors and plain data, nothing of RLlib's own.

    Args:
        config: the training config.
        decisions: per iteration, over all environments.
        learning_rate: of Adam.
        epochs: passes over an iteration's decisions.
        minibatches: per pass.
        discount: γ.
        gae_lambda: λ of generalised advantage estimation.
        clip: of the policy ratio.
        entropy: weight of the entropy bonus.
        value: weight of the value loss.
        max_grad_norm: gradient clipping.
        target_kl: an iteration's passes stop early beyond it; None for never.
        log_std: initial log standard deviation of actions in [-1, 1].

    Raises:
        MissingExtraError: Ray is not installed.
        ValueError: a network or actions that it does not have, or numbers that are none.
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
    ) -> None:
        super().__init__(config)
        require("algorithm rllib_ppo", "ray", "tree", extra="ray")
        _check(config, decisions, epochs, minibatches)
        check_learning(learning_rate, discount, gae_lambda, log_std)
        check_loss(clip, entropy, value, max_grad_norm, target_kl)
        self.decisions, self.iterations = decisions, 0
        ray = config.ray
        connect(ray.address, ray.timeout, who="algorithm rllib_ppo")
        self.algorithm = _build(
            config,
            log_std,
            train_batch_size_per_learner=decisions,
            minibatch_size=decisions // minibatches,
            num_epochs=epochs,
            lr=learning_rate,
            gamma=discount,
            lambda_=gae_lambda,
            clip_param=clip,
            vf_clip_param=1e9,
            entropy_coeff=entropy,
            vf_loss_coeff=value,
            grad_clip=max_grad_norm,
            grad_clip_by="global_norm",
            use_kl_loss=False,
            kl_coeff=0.0,
            learner_config_dict={"target_kl": target_kl},
        )

    @property
    def _learner(self) -> Any:
        return self.algorithm.learner_group._learner

    @property
    def module(self) -> Any:
        """The module that learns, with the network that is deployed."""
        return self._learner.module[NAME]

    def iterate(self) -> dict[str, float]:
        """Collect `decisions` decisions and update; before the first time, imitate if asked to."""
        from l2o.policies.rllib.environments import TOLD

        started = time.perf_counter()
        if self.iterations == 0 and self.config.imitation is not None:
            imitate(self.module.network, self.config)
            self.episodes += self.config.imitation.episodes
            self._spread()
        result = self.algorithm.train()
        runners, learned = result["env_runners"], result["learners"][NAME]
        told = {
            name.removeprefix(TOLD): float(value)
            for name, value in runners.items()
            if isinstance(name, str) and name.startswith(TOLD)
        }
        ended = int(told.pop("episodes", 0))
        self.episodes += ended
        decisions = int(runners.get("num_env_steps_sampled", self.decisions))
        window = decision_interval(self.config.finetuning).window(0)
        self.fine_tune_steps += decisions * window
        self.iterations += 1
        seconds = time.perf_counter() - started
        timer = float(result.get("timers", {}).get("learner_update_timer", 0.0))
        learning = min(1.0, timer / seconds) if math.isfinite(timer) else 0.0
        return {
            **told,
            "policy_loss": float(learned.get("policy_loss", 0.0)),
            "value_loss": float(learned.get("vf_loss", 0.0)),
            "seconds": seconds,
            "fine_tune_steps_per_second": decisions * window / seconds,
            "fine_tunes_per_second": ended / seconds,
            "share_collecting": 1.0 - learning,
            "share_learning": learning,
        }

    def _spread(self) -> None:
        """Give the runners the weights that the learner has."""
        self.algorithm.env_runner_group.sync_weights(
            from_worker_or_learner_group=self.algorithm.learner_group
        )

    def policy(self) -> LearnedPolicy:
        """Return a copy of the network as a policy."""
        return export_policy(self.config, self.module.network)

    def state_dict(self) -> dict[str, Any]:
        """Return weights, optimizer and counters; episodes under way are not kept."""
        return {
            "policy": self.module.state_dict(),
            "optimizer": self._learner.get_optimizer(NAME).state_dict(),
            "iterations": self.iterations,
            "episodes": self.episodes,
            "fine_tune_steps": self.fine_tune_steps,
            "torch_rng": torch.get_rng_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on; the environments begin new episodes."""
        self.module.load_state_dict(state["policy"])
        self._learner.get_optimizer(NAME).load_state_dict(state["optimizer"])
        self.iterations = state["iterations"]
        self.episodes = state["episodes"]
        self.fine_tune_steps = state["fine_tune_steps"]
        torch.set_rng_state(state["torch_rng"])
        self._spread()

    def close(self) -> None:
        """End the runners."""
        self.algorithm.stop()


def _check(config: TrainConfig, decisions: int, epochs: int, minibatches: int) -> None:
    check_layer_shared(config, "rllib_ppo")
    check_memoryless(config, "rllib_ppo")
    check_continuous(config, "rllib_ppo")
    if not config.stacked:
        raise ValueError("algorithm rllib_ppo learns on stacked fine-tunes; set stacked=true")
    if config.environments % config.workers:
        raise ValueError(
            f"environments={config.environments} must be a multiple of workers={config.workers} "
            "for algorithm rllib_ppo"
        )
    check_batches(decisions, epochs, minibatches, config.environments)


def _build(config: TrainConfig, log_std: float, **training: Any) -> Any:
    from ray.rllib.algorithms.ppo import PPOConfig
    from ray.rllib.core.rl_module.rl_module import RLModuleSpec
    from ray.tune.registry import register_env

    from l2o.policies.rllib.environments import EpisodeNotes, make_environments
    from l2o.policies.rllib.learner import LayerPPO
    from l2o.policies.rllib.module import LayerModule

    register_env(ENVIRONMENT, make_environments)
    told = config.model_dump_json()
    apart = config.workers if config.workers > 1 else 0
    setup = (
        PPOConfig()
        .environment(ENVIRONMENT, env_config={"train": told}, normalize_actions=False)
        .env_runners(
            num_env_runners=apart,
            num_envs_per_env_runner=config.environments // config.workers,
            gym_env_vectorize_mode="vector_entry_point",
            num_cpus_per_env_runner=config.ray.cpus or 0.5,
            num_gpus_per_env_runner=config.ray.gpus,
            rollout_fragment_length=training["train_batch_size_per_learner"] // config.environments,
            batch_mode="truncate_episodes",
        )
        .learners(num_learners=0)
        .training(learner_class=LayerPPO, **training)
        .rl_module(
            rl_module_spec=RLModuleSpec(
                module_class=LayerModule, model_config={"train": told, "log_std": log_std}
            )
        )
        .callbacks(EpisodeNotes)
        .fault_tolerance(restart_failed_env_runners=True)
        .debugging(seed=narrow_seed(config.seed), log_level="ERROR")
        .reporting(metrics_num_episodes_for_smoothing=1)
    )
    setup.clip_actions = True
    logging.getLogger("ray.rllib").setLevel(logging.ERROR)
    return setup.build_algo()
