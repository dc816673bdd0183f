"""Evaluating a policy on tasks that are not trained on."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from l2o.configs.schema import Named, TrainConfig
from l2o.deciding.learned import LearnedPolicy
from l2o.envs.environment import FineTuneEnv
from l2o.envs.episode_rules import TASK_SEEDS
from l2o.envs.fine_tuning.fine_tune import FineTune
from l2o.envs.runtime.executor import in_order
from l2o.envs.runtime.executor.choose import choose_executor
from l2o.envs.tasks import TaskFamily
from l2o.envs.tasks.build import build_task


@dataclass(frozen=True)
class Ended:
    """How one fine-tune ended.

    Attributes:
        accuracy: final main metric on the task's real *validation* images, more being better.
        chance: what guessing gives there, NaN where that is not known.
        diverged: whether the loss went non-finite.
    """

    accuracy: float
    chance: float
    diverged: bool


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
    """Fine-tunes evaluation tasks under a policy, in workers with one torch thread each.

    Tasks come from the meta-training split (the held-out split is never looked at while training),
    from seeds that training does not draw and with the family arguments of `evaluation.task`.
    Bundles are passed as policies, tasks are made in the workers.
    """

    def __init__(self, config: TrainConfig) -> None:
        self.config = config
        self.named = evaluation_task(config)
        # Apart, though there be only one: what an evaluation draws is no matter of training.
        self._executor = choose_executor(config.placement, config.workers, apart=True)

    def score(self, policy: LearnedPolicy) -> Score:
        """Return the score of a policy."""
        evaluation = self.config.evaluation
        if evaluation.drawn:
            ended = self.drawn(policy, range(evaluation.drawn))
            accuracies = [each.accuracy for each in ended]
        else:
            cells = itertools.product(range(evaluation.tasks), evaluation.base_lrs)
            arguments = _arguments(self.config, self.named, policy, cells)
            accuracies = list(in_order(self._executor.map(_run, arguments)))
        return Score(float(np.mean(accuracies)), float(np.min(accuracies)), len(accuracies))

    def drawn(
        self, policy: LearnedPolicy, numbers: Iterable[int], config: TrainConfig | None = None
    ) -> list[Ended]:
        """Return how drawn episodes end.

        Args:
            policy: who acts.
            numbers: of the episodes; each has a task of its own, and draws that follow from the
                number and the config's ranges alone.
            config: how they are drawn and what the policy sees, if not as in training.
        """
        given = [(config or self.config, self.named, policy, number) for number in numbers]
        return list(in_order(self._executor.map(_run_drawn, given)))

    def close(self) -> None:
        """End the workers, whatever they do."""
        self._executor.close()


def evaluation_task(config: TrainConfig) -> Named:
    """Return the family that evaluation samples from."""
    options = {**config.task.options, **config.evaluation.task}
    return Named(name=config.task.name, options=options)


_Arguments = tuple[TrainConfig, Named, LearnedPolicy, int, float]


def _arguments(
    config: TrainConfig, named: Named, policy: LearnedPolicy, cells: Iterable[tuple[int, float]]
) -> list[_Arguments]:
    # A list: its length tells an executor how many workers there is work for.
    return [(config, named, policy, task, base_lr) for task, base_lr in cells]


def begin_drawn(
    config: TrainConfig, family: TaskFamily, number: int
) -> tuple[FineTuneEnv, NDArray[np.float32], dict[str, Any]]:
    """Begin an episode that is drawn as training draws them, of a task that it never draws.

    Returns:
        The environment, the first observation, and what was drawn.
    """
    environment = config.environment.model_copy(update={"rewards": {}})
    env = FineTuneEnv(family, config.finetuning, environment)
    observation, drawn = env.reset(seed=number, options={"task_seed": TASK_SEEDS + number})
    return env, observation, drawn


def _run_drawn(arguments: tuple[TrainConfig, Named, LearnedPolicy, int]) -> Ended:
    config, named, policy, number = arguments
    env, observation, drawn = begin_drawn(config, build_task(named), number)
    rows = drawn["layers"] + len(policy.guidance_actions)
    state = policy.initial_state(rows)
    actions = np.zeros(env.action_space.shape or (), env.action_space.dtype)
    while not env.run.done:
        seen = torch.from_numpy(observation[:rows])
        multipliers, state = policy(seen, state)
        actions[:rows] = env.multipliers.encode(multipliers).numpy()
        observation, *_ = env.step(actions)
    run = env.run
    chance = run.objective.metric().chance
    return Ended(_final(run), math.nan if chance is None else chance, run.diverged)


def _run(arguments: _Arguments) -> float:
    config, named, policy, task_index, base_lr = arguments
    task = build_task(named).sample(TASK_SEEDS + task_index)
    run = FineTune(
        task,
        config.finetuning,
        policy=policy,
        base_lr=base_lr,
        seed=task_index,
        validate=config.environment.validation,
    )
    run.advance(run.steps)
    return _final(run)


def _final(run: FineTune) -> float:
    """Return the main metric on the real validation images, signed so that more is better."""
    metric = run.objective.metric()
    return metric.gain(run.scores("target_validation")[metric.name])
