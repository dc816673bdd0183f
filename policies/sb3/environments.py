"""Vectorised environments for stable-baselines3: one process with one torch thread each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecEnv, VecMonitor

from l2o.configs.schema import TrainConfig
from l2o.envs.build import build
from l2o.envs.finetune import FineTuneEnv
from l2o.envs.tasks import TASKS
from l2o.envs.workers import prepare_worker


def make_environments(config: TrainConfig, start: int = 0) -> VecEnv:
    """Make the training environments.

    Args:
        config: of the training.
        start: iterations done before, so that a resumed run draws new episodes.
    """
    workers = config.workers
    factories = [_factory(config) for _ in range(workers)]
    if workers == 1:
        vectorised: VecEnv = DummyVecEnv(factories)
    else:
        vectorised = SubprocVecEnv(factories, start_method="forkserver")
    vectorised.seed(config.seed + 1_000_003 * start)
    return VecMonitor(vectorised)


def _factory(config: TrainConfig) -> Callable[[], gym.Env[Any, Any]]:
    def make() -> gym.Env[Any, Any]:
        prepare_worker()
        family = build("task", TASKS, config.task)
        return FineTuneEnv(family, config.finetuning, config.environment)

    return make
