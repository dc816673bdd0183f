"""Stacked fine-tunes as a vectorised environment of stable-baselines3."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv

from l2o.configs.schema import TrainConfig
from l2o.envs.build import build
from l2o.envs.stacked import StackedFineTuneEnv
from l2o.envs.tasks import TASKS
from l2o.policies.common.shards import LocalShard, Make, RemoteShard


class StackedVecEnv(VecEnv):
    """N fine-tunes, stacked, in one or several processes.

    Environment i draws what a `FineTuneEnv` seeded `seed + i` draws, whatever the number of
    processes. The end of an episode is told as stable-baselines3 wants it: its last observation as
    `terminal_observation`, and its last info as the info of the step.

    Args:
        make: makes a stacked environment of so many, with `autoreset_mode="SameStep"`; picklable
            where there are several processes.
        num_envs: N.
        num_workers: processes, one torch thread each; 1 is this process.

    Raises:
        ValueError: fewer environments than processes.

    Example:
        >>> from functools import partial
        >>> make = partial(make_stacked, TrainConfig())  # doctest: +SKIP
        >>> environments = StackedVecEnv(make, num_envs=16, num_workers=2)  # doctest: +SKIP
    """

    def __init__(self, make: Make, num_envs: int, num_workers: int = 1) -> None:
        if not 1 <= num_workers <= num_envs:
            raise ValueError(
                f"num_workers must be between 1 and num_envs={num_envs}, got {num_workers}"
            )
        kind = LocalShard if num_workers == 1 else RemoteShard
        self.render_mode = None
        self.counts = [len(part) for part in np.array_split(np.arange(num_envs), num_workers)]
        self._ends = np.cumsum(self.counts)
        self._shards: list[Any] = [kind(make, count) for count in self.counts]
        try:
            observation_space, action_space = self._ask("spaces", [None] * num_workers)[0]
        except BaseException:
            self.close()  # nobody else could
            raise
        super().__init__(num_envs, observation_space, action_space)

    def _ask(self, command: str, arguments: Sequence[Any]) -> list[Any]:
        """Give each shard a command and wait for all results."""
        for shard, argument in zip(self._shards, arguments, strict=True):
            shard.send(command, argument)
        return [shard.receive() for shard in self._shards]

    def _split(self, values: Any) -> list[Any]:
        return [values[end - count : end] for count, end in zip(self.counts, self._ends)]

    def reset(self) -> NDArray[np.float32]:
        """Begin a fine-tune in each environment; return the observations."""
        answers = self._ask("reset", self._split(list(self._seeds)))
        self.reset_infos = [info for _, infos in answers for info in infos]
        self._reset_seeds()
        self._reset_options()
        return np.concatenate([observation for observation, _ in answers])

    def step_async(self, actions: NDArray[Any]) -> None:
        """Begin a step."""
        for shard, part in zip(self._shards, self._split(actions), strict=True):
            shard.send("step", part)

    def step_wait(
        self,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        """Finish the step; environments that have ended begin anew."""
        answers = [shard.receive() for shard in self._shards]
        observations, rewards, ended, infos = zip(*answers, strict=True)
        told = [info for part in infos for info in part]
        return np.concatenate(observations), np.concatenate(rewards), np.concatenate(ended), told

    def close(self) -> None:
        """End the processes."""
        for shard in self._shards:
            shard.close()
        self._shards = []

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Return, for each environment, what those of its process share."""
        if attr_name == "render_mode":
            return [None for _ in self._get_indices(indices)]
        values = self._ask("attribute", [attr_name] * len(self._shards))
        shard_of = np.searchsorted(self._ends, np.arange(self.num_envs), side="right")
        return [values[shard_of[index]] for index in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Refuse: stacked environments share what they are made of."""
        raise NotImplementedError("stacked environments share their settings; make new ones")

    def env_method(
        self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any
    ) -> list[Any]:
        """Refuse: there is no environment for each fine-tune."""
        raise NotImplementedError("stacked environments have no methods of their own")

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        """Return that none is wrapped."""
        return [False for _ in self._get_indices(indices)]

    def _get_indices(self, indices: int | Iterable[int] | None) -> Iterable[int]:
        if indices is None:
            return range(self.num_envs)
        return [indices] if isinstance(indices, int) else indices


def make_stacked(config: TrainConfig, num_envs: int) -> StackedFineTuneEnv:
    """Make the stacked training environment of a config."""
    return StackedFineTuneEnv(
        build("task", TASKS, config.task),
        config.finetuning,
        config.environment,
        num_envs=num_envs,
        autoreset_mode="SameStep",
    )
