"""Environments of stable-baselines3 that live in the workers of an executor."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv

from l2o.envs.runtime.executor import Executor, Pending, gather
from l2o.policies.common.shards import Shard


class ShardedVecEnv(VecEnv):
    """Environments in shards, of which each is an actor of an executor.

    Closing it closes the executor.

    Args:
        executor: makes a worker for each shard.
        makers: make the shards, there; picklable where workers are other processes.
        counts: environments of each.

    Raises:
        Exception: what a shard could not be made for.
    """

    def __init__(
        self, executor: Executor, makers: Sequence[Callable[[], Shard]], counts: Sequence[int]
    ) -> None:
        self.render_mode = None
        self.counts = list(counts)
        self._ends = np.cumsum(self.counts)
        self._executor = executor
        self._steps: list[Pending] = []
        try:
            self._shards = [executor.spawn(make) for make in makers]
            observation_space, action_space = self._ask("spaces", [()] * len(makers))[0]
        except BaseException:
            self.close()  # nobody else could
            raise
        super().__init__(sum(self.counts), observation_space, action_space)

    def _ask(self, command: str, arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Give each shard a command and wait for all results."""
        pairs = zip(self._shards, arguments, strict=True)
        return gather([shard.call(command, *given) for shard, given in pairs])

    def _split(self, values: Any) -> list[Any]:
        return [values[end - count : end] for count, end in zip(self.counts, self._ends)]

    def reset(self) -> NDArray[np.float32]:
        """Begin a fine-tune in each environment; return the observations."""
        answers = self._ask("reset", [(part,) for part in self._split(list(self._seeds))])
        self.reset_infos = [info for _, infos in answers for info in infos]
        self._reset_seeds()
        self._reset_options()
        return np.concatenate([observation for observation, _ in answers])

    def step_async(self, actions: NDArray[Any]) -> None:
        """Begin a step."""
        pairs = zip(self._shards, self._split(actions), strict=True)
        self._steps = [shard.call("step", part) for shard, part in pairs]

    def step_wait(
        self,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        """Finish the step; environments that have ended begin anew."""
        answers, self._steps = gather(self._steps), []
        observations, rewards, ended, infos = zip(*answers, strict=True)
        told = [info for part in infos for info in part]
        return np.concatenate(observations), np.concatenate(rewards), np.concatenate(ended), told

    def close(self) -> None:
        """End the workers."""
        self._executor.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Return, for each environment, what those of its process share."""
        if attr_name == "render_mode":
            return [None for _ in self._get_indices(indices)]
        values = self._ask("attribute", [(attr_name,)] * len(self._shards))
        shard_of = np.searchsorted(self._ends, np.arange(self.num_envs), side="right")
        return [values[shard_of[index]] for index in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Refuse: environments share what they are made of."""
        raise NotImplementedError("environments share their settings; make new ones")

    def env_method(
        self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any
    ) -> list[Any]:
        """Refuse: of stacked fine-tunes, none has an environment of its own."""
        raise NotImplementedError("environments in workers have no methods of their own")

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        """Return that none is wrapped."""
        return [False for _ in self._get_indices(indices)]

    def _get_indices(self, indices: int | Iterable[int] | None) -> Iterable[int]:
        if indices is None:
            return range(self.num_envs)
        return [indices] if isinstance(indices, int) else indices
