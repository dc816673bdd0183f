"""RLlib's PPO over a simulator's parameters."""

from __future__ import annotations

import copy
import itertools
import logging
from functools import partial
from typing import Any

from l2o.envs.runtime.executor.on_ray.cluster import connect
from l2o.envs.runtime.seeds import narrow_seed
from l2o.envs.simulators.distributions import PointDistribution
from l2o.extras import require
from l2o.policies.reinforce.simulators.base import Try
from l2o.policies.reinforce.simulators.proximal import ProximalSearch

NAME, ENVIRONMENT = "default_policy", "l2o-simulator"
TIMEOUT = 30.0
_numbers = itertools.count()


class RLlibPPOSearch(ProximalSearch):
    """PPO as RLlib has it, with the options of `ppo`, which mean the same.

    It runs in this process; checkpoints are tensors and plain data, nothing of RLlib's own.

    Args:
        **given: as `ProximalSearch` takes them.

    Raises:
        ValueError: values out of range.
        MissingExtraError: Ray is not installed.
    """

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        require("search rllib_ppo", "ray", "tree", extra="ray")
        connect(None, TIMEOUT, who="search rllib_ppo")
        self._number = next(_numbers)
        with self.random.drawing():
            self._algorithm = _build(
                {"number": self._number, "width": self.actions.width, "std": self.std},
                self.batch,
                narrow_seed(self.seed),
                lr=self.learning_rate,
                num_epochs=self.epochs,
            )

    @property
    def _module(self) -> Any:
        return self._algorithm.learner_group._learner.module[NAME]

    def iterate(self, try_: Try, count: int) -> dict[str, float]:
        """Collect one episode of each environment, and train."""
        from l2o.policies.reinforce.simulators.one_step import WORTH

        with self.random.drawing():
            if count < self.batch:
                self.worth(try_, self._module.draw(count))
            else:
                WORTH[self._number] = partial(self.worth, try_)
                # Else it would draw actions for the step in which its environments are reset, which
                # a search that goes on does not.
                self._algorithm.env_runner._needs_initial_reset = True
                self._algorithm.train()
                del WORTH[self._number]
        return {"std": float(self._module.log_std.detach().exp().mean())}

    def distribution(self) -> PointDistribution:
        """Return the distribution at the policy's mean."""
        offset = self._module.mean.detach().numpy()
        return self.actions.distribution((self.first + offset).clip(-1.0, 1.0))

    def state_dict(self) -> dict[str, Any]:
        """Return weights, optimizer, and the states of the generators that it draws from."""
        optimizer = self._algorithm.learner_group._learner.get_optimizer(NAME)
        return {
            # Copies: training moves them in place.
            "policy": copy.deepcopy(self._module.state_dict()),
            "optimizer": copy.deepcopy(optimizer.state_dict()),
            **self.random.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on."""
        learners = self._algorithm.learner_group
        self._module.load_state_dict(state["policy"])
        learners._learner.get_optimizer(NAME).load_state_dict(state["optimizer"])
        self.random.load_state_dict(state)
        self._algorithm.env_runner_group.sync_weights(from_worker_or_learner_group=learners)


def _build(told: dict[str, Any], batch: int, seed: int, **training: Any) -> Any:
    from ray.rllib.algorithms.ppo import PPOConfig
    from ray.rllib.core.rl_module.rl_module import RLModuleSpec
    from ray.tune.registry import register_env

    from l2o.policies.reinforce.simulators.one_step import DrawModule, make_one_step
    from l2o.policies.rllib.learner import LayerPPO

    register_env(ENVIRONMENT, make_one_step)
    setup = (
        PPOConfig()
        .environment(ENVIRONMENT, env_config=told, normalize_actions=False)
        .env_runners(
            num_env_runners=0,
            num_envs_per_env_runner=batch,
            gym_env_vectorize_mode="vector_entry_point",
            rollout_fragment_length=1,
            batch_mode="truncate_episodes",
        )
        .learners(num_learners=0)
        .training(
            learner_class=LayerPPO,
            train_batch_size_per_learner=batch,
            minibatch_size=batch,
            gamma=0.0,
            lambda_=0.0,
            clip_param=0.2,
            vf_clip_param=1e9,
            vf_loss_coeff=0.5,
            entropy_coeff=0.0,
            grad_clip=0.5,
            grad_clip_by="global_norm",
            use_kl_loss=False,
            kl_coeff=0.0,
            learner_config_dict={"target_kl": None},
            **training,
        )
        .rl_module(rl_module_spec=RLModuleSpec(module_class=DrawModule, model_config=told))
        .debugging(seed=seed, log_level="ERROR")
    )
    setup.clip_actions = False
    logging.getLogger("ray.rllib").setLevel(logging.ERROR)
    return setup.build_algo()
