"""Episodes of one step for RLlib: environments that observe nothing, and a module that draws."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from numpy.typing import NDArray
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.torch.torch_rl_module import TorchRLModule
from torch import Tensor, nn

from l2o.policies.rllib.module import LayerGaussian

WORTH: dict[int, Callable[[NDArray[np.float32]], NDArray[np.float64]]] = {}
"""Of a search that is at work, by its number: actions `[K, width]` -> rewards `[K]`."""


class OneStep(VectorEnv[Any, Any, Any]):
    """Environments whose rewards are found together; the step after each is a reset.

    Args:
        count: environments.
        width: numbers of an action.
        number: of the search, a key of `WORTH`.
    """

    def __init__(self, count: int, width: int, number: int) -> None:
        super().__init__()
        self.num_envs, self._number, self._ended = count, number, False
        self.metadata = {**self.metadata, "autoreset_mode": AutoresetMode.NEXT_STEP}
        self.single_observation_space = gym.spaces.Box(-1.0, 1.0, (1,), np.float32)
        self.single_action_space = gym.spaces.Box(-2.0, 2.0, (width,), np.float32)
        self.observation_space = gym.vector.utils.batch_space(self.single_observation_space, count)
        self.action_space = gym.vector.utils.batch_space(self.single_action_space, count)

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode of each."""
        del seed, options
        self._ended = False
        return np.zeros((self.num_envs, 1), np.float32), {}

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Find the rewards of all; or begin anew."""
        rewards, ended = np.zeros(self.num_envs), not self._ended
        if ended:
            rewards = np.asarray(WORTH[self._number](np.asarray(actions, np.float32)))
        self._ended = ended
        flags = np.full(self.num_envs, ended)
        blind = np.zeros((self.num_envs, 1), np.float32)
        return blind, rewards, flags, np.zeros_like(flags), {}


def make_one_step(context: dict[str, Any]) -> OneStep:
    """Make the environments of a runner: as many as it asks for, or one for the spaces."""
    count = int(context.get("num_envs", 1))
    return OneStep(count, int(context["width"]), int(context["number"]))


class DrawModule(TorchRLModule, ValueFunctionAPI):
    """A Gaussian over actions and a value, which depend on nothing.

    Its model config has `width`, and `std`, the first standard deviation.
    """

    def setup(self) -> None:
        """Begin at 0."""
        width, std = int(self.model_config["width"]), float(self.model_config["std"])
        self.mean = nn.Parameter(torch.zeros(width))
        self.log_std = nn.Parameter(torch.full((width,), float(np.log(std))))
        self.value = nn.Parameter(torch.zeros(()))
        self.action_dist_cls = LayerGaussian

    def draw(self, count: int) -> NDArray[np.float32]:
        """Return actions `[count, width]`."""
        with torch.no_grad():
            noise = torch.randn(count, len(self.mean))
            drawn: NDArray[np.float32] = (self.mean + self.log_std.exp() * noise).numpy()
        return drawn

    def _forward(self, batch: dict[str, Any], **_: Any) -> dict[str, Any]:
        told = torch.cat([self.mean, self.log_std, torch.ones_like(self.mean)])
        size = len(batch[Columns.OBS])
        return {
            Columns.ACTION_DIST_INPUTS: told.expand(size, -1),
            Columns.EMBEDDINGS: self.value.expand(size),
        }

    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> Tensor:
        """Return the values `[N]`."""
        found: Tensor = self.value.expand(len(batch[Columns.OBS]))
        return found if embeddings is None else embeddings

    def get_inference_action_dist_cls(self) -> type[LayerGaussian]:
        """Return the distribution of actions."""
        return LayerGaussian

    get_exploration_action_dist_cls = get_train_action_dist_cls = get_inference_action_dist_cls
