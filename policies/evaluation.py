"""Evaluating a policy on tasks that are not trained on."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

import numpy as np
import torch

from l2o.configs.schema import Named, TrainConfig
from l2o.envs.build import build
from l2o.envs.episodes import TASK_SEEDS
from l2o.envs.finetune import FineTuneEnv
from l2o.envs.finetuning import FineTune
from l2o.envs.tasks import TASKS
from l2o.envs.workers import prepare_worker
from l2o.learned import LearnedPolicy


@dataclass(frozen=True)
class Score:
    """Result of an evaluation.

    Attributes:
        target_accuracy: mean final accuracy on the tasks' real *validation* images.
        worst: the lowest of them.
        runs: number of fine-tunes.
    """

    target_accuracy: float
    worst: float
    runs: int


class Evaluator:
    """Fine-tunes evaluation tasks under a policy, in worker processes with one torch thread each.

    Tasks come from the meta-training split (the held-out split is never looked at while training),
    from seeds that training does not draw and with the family arguments of `evaluation.task`.
    Bundles are passed as policies, tasks are made in the workers.
    """

    def __init__(self, config: TrainConfig) -> None:
        self.config = config
        self.named = evaluation_task(config)
        self._pool = ProcessPoolExecutor(config.workers, get_context("forkserver"), prepare_worker)

    def score(self, policy: LearnedPolicy) -> Score:
        """Return the score of a policy."""
        evaluation = self.config.evaluation
        if evaluation.drawn:
            given = [(self.config, self.named, policy, i) for i in range(evaluation.drawn)]
            accuracies = list(self._pool.map(_run_drawn, given))
        else:
            cells = itertools.product(range(evaluation.tasks), evaluation.base_lrs)
            arguments = _arguments(self.config, self.named, policy, cells)
            accuracies = list(self._pool.map(_run, arguments))
        return Score(float(np.mean(accuracies)), float(np.min(accuracies)), len(accuracies))

    def close(self) -> None:
        """End the worker processes."""
        self._pool.shutdown(cancel_futures=True)


def evaluation_task(config: TrainConfig) -> Named:
    """Return the family that evaluation samples from."""
    options = {**config.task.options, **config.evaluation.task}
    return Named(name=config.task.name, options=options)


_Arguments = tuple[TrainConfig, Named, LearnedPolicy, int, float]


def _arguments(
    config: TrainConfig, named: Named, policy: LearnedPolicy, cells: Iterable[tuple[int, float]]
) -> Iterable[_Arguments]:
    return ((config, named, policy, task, base_lr) for task, base_lr in cells)


def _run_drawn(arguments: tuple[TrainConfig, Named, LearnedPolicy, int]) -> float:
    """Return the accuracy of an episode that is drawn as training draws them, of another task."""
    config, named, policy, number = arguments
    environment = config.environment.model_copy(update={"rewards": {}})
    env = FineTuneEnv(build("task", TASKS, named), config.finetuning, environment)
    observation, info = env.reset(seed=number, options={"task_seed": TASK_SEEDS + number})
    rows = info["layers"] + len(policy.guidance_actions)
    state = policy.initial_state(rows)
    actions = np.zeros(env.action_space.shape or (), env.action_space.dtype)
    while not env.run.done:
        seen = torch.from_numpy(observation[:rows])
        multipliers, state = policy(seen, state)
        actions[:rows] = env.multipliers.encode(multipliers).numpy()
        observation, *_ = env.step(actions)
    return env.run.accuracy("target_validation")


def _run(arguments: _Arguments) -> float:
    config, named, policy, task_index, base_lr = arguments
    task = build("task", TASKS, named).sample(TASK_SEEDS + task_index)
    run = FineTune(
        task,
        config.finetuning,
        policy=policy,
        base_lr=base_lr,
        seed=task_index,
        validate=config.environment.validation,
    )
    run.advance(run.steps)
    return run.accuracy("target_validation")
