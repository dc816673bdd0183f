"""Learning to simulate as a Gymnasium environment: an action is a distribution over psi."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from l2o.configs.choice import PolicyChoice
from l2o.configs.schema import FineTuning, Named
from l2o.envs.runtime.executor import Here
from l2o.envs.simulators.distributions.written import given_distribution
from l2o.envs.simulators.learning.actions import ACTIONS, Actions
from l2o.envs.simulators.learning.setting import Result, Setting, Trial
from l2o.envs.simulators.learning.trials import run_trials
from l2o.registry import lookup

_LARGEST = 1e6
"""Rewards are observed within it; of shares, the metrics that they mostly are, it says nothing."""


class SimulatorEnv(gym.Env[NDArray[np.float32], NDArray[np.float32]]):
    """An episode is one step: draw a data set, train on it, validate on real images.

    The reward is the main metric (or another, or a label-free score) on `target_validation`; what
    scores a task, `target_test`, is never looked at. Source: Ruiz, Schulter and Chandraker,
    Learning to Simulate, ICLR 2019. Their policy sees nothing; here it may see what the last
    episode of this environment was worth, which is what a baseline is made of.

    Args:
        task: a family that draws its source images (`l2o.envs.tasks.simulated`), by name or config.
        actions: what an action is, a key of `l2o.envs.simulators.learning.ACTIONS`.
        finetuning: the inner training, or its fields.
        choice: what sets its learning rates, or its fields.
        images: drawn training images of an episode.
        reward: a metric, "" for the main one, or a name of `l2o.adaptation.LABEL_FREE`.
        task_seed: of the one task.
        failed: reward of an episode that fails; None: the metric at chance, or 0.
        start: what actions `shares` are shares of: a structured distribution, as plain data.

    Observation: float32 `[1]`, the last episode's reward, 0 at first. Action: `Box(-1, 1)` of the
    numbers that `self.actions.names` lists. `info` has the distribution as plain data, and `error`:
    why the episode failed, "" if it did not.

    `reset(options={"seed": 3})` fixes what images, head and batches are drawn from.

    Attributes:
        result: of the last episode, with its seconds of drawing and training.

    Raises:
        ValueError: unknown names or impossible values.

    Example:
        >>> import gymnasium, l2o.envs
        >>> env = gymnasium.make("l2o/Simulator-v0", task="digits")  # doctest: +SKIP
    """

    metadata = {"render_modes": []}

    def __init__(
        self,
        task: str | Named = "digits",
        actions: str = "ranges",
        finetuning: FineTuning | Mapping[str, Any] | None = None,
        choice: PolicyChoice | Mapping[str, Any] | None = None,
        images: int = 512,
        reward: str = "",
        task_seed: int = 0,
        failed: float | None = None,
        start: Mapping[str, Any] | str | None = None,
    ) -> None:
        self.setting = Setting(
            task=Named(name=task) if isinstance(task, str) else task,
            task_seed=task_seed,
            finetuning=FineTuning.model_validate(finetuning or {}),
            choice=PolicyChoice.model_validate(choice or {}),
            images=images,
            reward=reward,
        )
        self.setting.check()
        space = self.setting.simulator.parameters
        begun = None if start is None else given_distribution(self.setting.simulator, start)
        self.actions: Actions = lookup("action", ACTIONS, actions)(space, begun)
        self.action_space = gym.spaces.Box(-1.0, 1.0, (self.actions.width,), np.float32)
        self.observation_space = gym.spaces.Box(-_LARGEST, _LARGEST, (1,), np.float32)
        self.failed = worst(self.setting) if failed is None else failed
        self.result: Result | None = None
        self._seed: int | None = None
        self._last = 0.0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begin an episode."""
        super().reset(seed=seed)
        if seed is not None:
            self._last = 0.0
        drawn = int(self.np_random.integers(2**31))
        self._seed = int((options or {}).get("seed", drawn))
        return self._observe(), {"seed": self._seed}

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Draw, train, validate; the episode ends."""
        if self._seed is None:
            raise gym.error.ResetNeeded("call reset() before each step()")
        plain = self.actions.distribution(action).to_plain()
        trial = Trial(0, plain, self._seed)
        self._seed = None
        with Here() as executor:
            (result,) = run_trials(self.setting, [trial], executor)
        reward = self.failed if math.isnan(result.reward) else result.reward
        self._last = reward
        self.result = result
        info = {"distribution": plain, "error": result.error}
        return self._observe(), reward, True, False, info

    def _observe(self) -> NDArray[np.float32]:
        return np.array([np.clip(self._last, -_LARGEST, _LARGEST)], np.float32)


def worst(setting: Setting) -> float:
    """Return what a trial that fails is worth: its metric at chance, 0 where that is not known."""
    if setting.label_free:
        return 0.0
    metric = setting.metric
    return metric.gain(metric.chance or 0.0)
