"""Stacked fine-tunes as a vectorised environment of stable-baselines3."""

from __future__ import annotations

from functools import partial

import numpy as np

from l2o.configs.schema import Named, TrainConfig
from l2o.envs.runtime.executor.choose import DEFAULT, choose_executor
from l2o.envs.stacked import StackedFineTuneEnv
from l2o.envs.tasks.build import build_task
from l2o.policies.common.sharded_environments import ShardedVecEnv
from l2o.policies.common.shards import Make, StackedShard


class StackedVecEnv(ShardedVecEnv):
    """N fine-tunes, stacked, in one or several workers.

    Environment i draws what a `FineTuneEnv` seeded `seed + i` draws, whatever the number of
    workers. The end of an episode is told as stable-baselines3 wants it: its last observation as
    `terminal_observation`, and its last info as the info of the step.

    Args:
        make: makes a stacked environment of so many, with `autoreset_mode="SameStep"`; picklable
            where workers are other processes.
        num_envs: N.
        num_workers: workers, one torch thread each.
        executor: where they are, as `choose_executor` takes it.

    Raises:
        ValueError: fewer environments than workers, or an unknown executor.

    Example:
        >>> from functools import partial
        >>> make = partial(make_stacked, TrainConfig())  # doctest: +SKIP
        >>> environments = StackedVecEnv(make, num_envs=16, num_workers=2)  # doctest: +SKIP
    """

    def __init__(
        self, make: Make, num_envs: int, num_workers: int = 1, executor: Named | str = DEFAULT
    ) -> None:
        if not 1 <= num_workers <= num_envs:
            raise ValueError(
                f"num_workers must be between 1 and num_envs={num_envs}, got {num_workers}"
            )
        counts = [len(part) for part in np.array_split(np.arange(num_envs), num_workers)]
        makers = [partial(StackedShard, make, count) for count in counts]
        super().__init__(choose_executor(executor, num_workers), makers, counts)


def make_stacked(config: TrainConfig, num_envs: int) -> StackedFineTuneEnv:
    """Make the stacked training environment of a config."""
    return StackedFineTuneEnv(
        build_task(config.task),
        config.finetuning,
        config.environment,
        num_envs=num_envs,
        autoreset_mode="SameStep",
    )
