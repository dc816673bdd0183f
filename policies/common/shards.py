"""Shares of the training environments: each lives in a worker, and answers as one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from l2o.envs.stacked import StackedFineTuneEnv

Make = Callable[[int], StackedFineTuneEnv]
"""Number of environments -> a stacked environment; picklable."""
Infos = list[dict[str, Any]]


class Shard(Protocol):
    """Some environments; what they answer has a leading dimension for them."""

    def spaces(self) -> tuple[Any, Any]:
        """Return the spaces of one environment."""
        ...

    def reset(self, seeds: list[int | None]) -> tuple[NDArray[np.float32], Infos]:
        """Reset all; return observations and infos."""
        ...

    def step(self, actions: NDArray[Any]) -> tuple[Any, Any, Any, Infos]:
        """Step all; return observations, rewards, ends and infos as stable-baselines3 has them.

        Those that have ended begin anew.
        """
        ...

    def attribute(self, name: str) -> Any:
        """Return an attribute of what the environments share."""
        ...


class StackedShard:
    """A stacked environment.

    Args:
        make: makes the environment.
        count: environments of this shard.
    """

    def __init__(self, make: Make, count: int) -> None:
        self.environment = make(count)
        if self.environment.autoreset_mode is not AutoresetMode.SAME_STEP:
            raise ValueError("stable-baselines3 needs autoreset_mode='SameStep'")

    def spaces(self) -> tuple[Any, Any]:
        """Return the spaces of one environment."""
        single = self.environment
        return single.single_observation_space, single.single_action_space

    def reset(self, seeds: list[int | None]) -> tuple[NDArray[np.float32], Infos]:
        """Reset all; return observations and infos."""
        observation, _ = self.environment.reset(seed=seeds)
        infos = self.environment.reset_infos
        return observation, [infos[number] for number in range(self.environment.num_envs)]

    def step(self, actions: NDArray[Any]) -> tuple[Any, Any, Any, Infos]:
        """Step all; those that have ended begin anew."""
        observation, rewards, ended, infos = self.environment.step_each(actions)
        told = [_sb3_info(infos[number]) for number in range(self.environment.num_envs)]
        return observation, rewards.astype(np.float32), ended, told

    def attribute(self, name: str) -> Any:
        """Return an attribute of what all environments share."""
        return getattr(self.environment, name)


class SingleShard:
    """One environment that is not stacked.

    Args:
        make: makes the environment.
    """

    def __init__(self, make: Callable[[], gym.Env[Any, Any]]) -> None:
        self.environment = make()

    def spaces(self) -> tuple[Any, Any]:
        """Return the spaces of the environment."""
        return self.environment.observation_space, self.environment.action_space

    def reset(self, seeds: list[int | None]) -> tuple[NDArray[np.float32], Infos]:
        """Reset it; return its observation and info."""
        observation, info = self.environment.reset(seed=seeds[0])
        return observation[None], [info]

    def step(self, actions: NDArray[Any]) -> tuple[Any, Any, Any, Infos]:
        """Step it; begin anew if it has ended."""
        observation, reward, terminated, truncated, info = self.environment.step(actions[0])
        ended = terminated or truncated
        info["TimeLimit.truncated"] = truncated and not terminated
        if ended:
            info["terminal_observation"] = observation
            observation, _ = self.environment.reset()
        return observation[None], np.array([reward]), np.array([ended]), [info]

    def attribute(self, name: str) -> Any:
        """Return an attribute of the environment."""
        return getattr(self.environment, name)


def _sb3_info(info: dict[str, Any]) -> dict[str, Any]:
    """Return an info with the episode's end where stable-baselines3 looks for it."""
    if "final_obs" not in info:
        return info
    return {
        **info["final_info"],
        "terminal_observation": info["final_obs"],
        "TimeLimit.truncated": False,
    }
