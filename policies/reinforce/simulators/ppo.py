"""Stable-baselines3's PPO over a simulator's parameters."""

from __future__ import annotations

import copy
from typing import Any

import gymnasium as gym
import numpy as np

from l2o.envs.simulators.distributions import PointDistribution
from l2o.extras import needed_by
from l2o.policies.reinforce.simulators.base import Try
from l2o.policies.reinforce.simulators.proximal import ProximalSearch

with needed_by("search ppo", "train"):
    from stable_baselines3 import PPO
    from stable_baselines3.common.vec_env import VecEnv


class PPOSearch(ProximalSearch):
    """PPO as stable-baselines3 has it.

    Args:
        **given: as `ProximalSearch` takes them.

    Raises:
        ValueError: values out of range.
        MissingExtraError: stable-baselines3 is not installed.
    """

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self._environments = _OneStep(self.batch, self.actions.width)
        with self.random.drawing():
            self._model = PPO(
                "MlpPolicy",
                self._environments,
                n_steps=1,
                batch_size=self.batch,
                n_epochs=self.epochs,
                learning_rate=self.learning_rate,
                gamma=0.0,
                gae_lambda=0.0,
                seed=self.seed % 2**32,
                device="cpu",
                policy_kwargs={"net_arch": [], "log_std_init": float(np.log(self.std))},
            )
            _, self._callback = self._model._setup_learn(total_timesteps=self.budget)

    def iterate(self, try_: Try, count: int) -> dict[str, float]:
        """Collect one episode of each environment, and train."""

        def worth(actions: np.ndarray) -> np.ndarray:
            found = np.zeros(self.batch)
            found[:count] = self.worth(try_, actions[:count])
            return found

        self._environments.worth = worth
        model: Any = self._model
        with self.random.drawing():
            model.collect_rollouts(model.env, self._callback, model.rollout_buffer, 1)
            if count == self.batch:
                model.train()
        return {"std": float(model.policy.log_std.detach().exp().mean())}

    def distribution(self) -> PointDistribution:
        """Return the distribution at the policy's mean."""
        offset, _ = self._model.predict(np.zeros((1, 1), np.float32), deterministic=True)
        return self.actions.distribution(self.first + offset[0])

    def state_dict(self) -> dict[str, Any]:
        """Return weights, optimizer, and the states of the generators that it draws from."""
        return {
            # Copies: training moves them in place.
            "policy": copy.deepcopy(self._model.policy.state_dict()),
            "optimizer": copy.deepcopy(self._model.policy.optimizer.state_dict()),
            **self.random.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on."""
        self._model.policy.load_state_dict(state["policy"])
        self._model.policy.optimizer.load_state_dict(state["optimizer"])
        self.random.load_state_dict(state)


class _OneStep(VecEnv):
    """Environments of one step whose rewards are found together."""

    def __init__(self, count: int, width: int) -> None:
        space = gym.spaces.Box(-2.0, 2.0, (width,), np.float32)
        super().__init__(count, gym.spaces.Box(-1.0, 1.0, (1,), np.float32), space)
        self.worth: Any = None
        self._actions: Any = None

    def reset(self) -> np.ndarray:
        return np.zeros((self.num_envs, 1), np.float32)

    def step_async(self, actions: np.ndarray) -> None:
        self._actions = actions

    def step_wait(self) -> Any:
        rewards = np.asarray(self.worth(self._actions), np.float32)
        ended = np.ones(self.num_envs, np.bool_)
        infos: list[dict[str, Any]] = [
            {"terminal_observation": np.zeros(1, np.float32)} for _ in range(self.num_envs)
        ]
        return self.reset(), rewards, ended, infos

    def close(self) -> None:
        pass

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        return [getattr(self, attr_name, None)] * self.num_envs

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        raise NotImplementedError("these environments have nothing to set")

    def env_method(self, method_name: str, *arguments: Any, **named: Any) -> list[Any]:
        raise NotImplementedError("these environments have no methods")

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        return [False] * self.num_envs
