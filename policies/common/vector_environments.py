"""Vectorised environments for stable-baselines3, from a training config."""

from __future__ import annotations

from functools import partial
from typing import Any

import gymnasium as gym
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecMonitor
from stable_baselines3.common.vec_env.base_vec_env import VecEnvStepReturn

from l2o.configs.schema import TrainConfig
from l2o.envs.environment import FineTuneEnv
from l2o.envs.runtime.executor import Here
from l2o.envs.runtime.executor.choose import choose_executor
from l2o.envs.runtime.interrupts import check_interrupts
from l2o.envs.tasks.build import build_task
from l2o.policies.common.sharded_environments import ShardedVecEnv
from l2o.policies.common.shards import SingleShard
from l2o.policies.common.stacked_environments import StackedVecEnv, make_stacked


class InterruptibleMonitor(VecMonitor):
    """Tells how episodes went, and asks for Ctrl-C after each step (`deferred_interrupts`)."""

    def step_wait(self) -> VecEnvStepReturn:
        """Finish the step."""
        told = super().step_wait()
        check_interrupts()
        return told


def count_environments(config: TrainConfig) -> int:
    """Return how many fine-tunes run at once."""
    return config.environments if config.stacked else config.workers


def make_environments(config: TrainConfig) -> VecEnv:
    """Make the training environments: stacked in each worker, or one per worker."""
    if config.stacked:
        make = partial(make_stacked, config)
        counts = config.environments, config.workers
        return InterruptibleMonitor(StackedVecEnv(make, *counts, config.placement))
    make_one = partial(_make_single, config)
    executor = choose_executor(config.placement, config.workers)
    if isinstance(executor, Here):
        return InterruptibleMonitor(DummyVecEnv([make_one] * config.workers))
    makers = [partial(SingleShard, make_one)] * config.workers
    return InterruptibleMonitor(ShardedVecEnv(executor, makers, [1] * config.workers))


def seed_environments(environments: VecEnv, config: TrainConfig, iterations: int) -> None:
    """Seed the next reset; after a resume from `iterations`, with seeds not used before."""
    environments.seed(config.seed + 1_000_003 * iterations)


def _make_single(config: TrainConfig) -> gym.Env[Any, Any]:
    return FineTuneEnv(build_task(config.task), config.finetuning, config.environment)
