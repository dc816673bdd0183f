"""Train and validate: what distributions over psi are worth on real images."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from l2o.adaptation import LABEL_FREE, Predictions
from l2o.deciding.policy import Policy
from l2o.envs.fine_tuning.fine_tune import FineTune
from l2o.envs.fine_tuning.inner_loop import decision_interval
from l2o.envs.policy_choice import build_policy
from l2o.envs.runtime.executor import Executor, in_order
from l2o.envs.simulators.distributions.written import distribution_of
from l2o.envs.simulators.faults import RendererDiedError
from l2o.envs.simulators.learning.head_only import on_features
from l2o.envs.simulators.learning.setting import Result, Setting, Trial
from l2o.envs.simulators.learning.stacked import fine_tune_stacked
from l2o.envs.tasks.base import Task
from l2o.measures import Outputs, joined

STACK = 16
"""Fine-tunes that are computed together, where they can be."""


def run_trials(setting: Setting, trials: Sequence[Trial], executor: Executor) -> Iterator[Result]:
    """Yield the results of trials, in order: some together, over an executor's workers.

    A trial that fails ends no search: its reward is NaN, and its `error` says why.

    Raises:
        ValueError: the task, or what the setting names, is impossible.
        WorkerDiedError: a worker died.
    """
    size = STACK if setting.stacked and setting.family.in_memory else 1
    parts = [tuple(trials[first : first + size]) for first in range(0, len(trials), size)]
    for found in in_order(executor.map(RunTogether(setting), parts)):
        yield from found


@dataclass(frozen=True)
class RunTogether:
    """Runs some trials in the process that it is called in; it travels to workers.

    Attributes:
        setting: of all of them.
    """

    setting: Setting

    def __call__(self, trials: Sequence[Trial]) -> list[Result]:
        """Return the results, in the order of the trials."""
        found: dict[int, Result] = {}
        drawn: list[tuple[Trial, Task, float]] = []
        for trial in trials:
            started = time.perf_counter()
            try:
                task = draw_task(self.setting, trial)
            except (ValueError, RendererDiedError) as error:
                seconds = time.perf_counter() - started
                found[trial.number] = Result(trial.number, math.nan, {}, str(error), seconds)
            else:
                drawn.append((trial, task, time.perf_counter() - started))
        if drawn:
            found |= self._fine_tune(drawn)
        return [found[trial.number] for trial in trials]

    def _fine_tune(self, drawn: Sequence[tuple[Trial, Task, float]]) -> dict[int, Result]:
        setting, started = self.setting, time.perf_counter()
        splits = sorted({split for trial, _, _ in drawn for split in _splits(setting, trial)})
        policy = build_policy(setting.choice, decision_interval(setting.finetuning))
        tasks = [on_features(task) if setting.head_only else task for _, task, _ in drawn]
        seeds = [trial.seed for trial, _, _ in drawn]
        config = setting.finetuning
        stacked = setting.stacked and not setting.head_only
        if stacked and all(task.in_memory for task in tasks):
            runs: Sequence[Any] = fine_tune_stacked(config, policy, tasks, seeds, splits)
        else:
            runs = [
                SingleRun(setting, policy, task, seed, splits)
                for task, seed in zip(tasks, seeds, strict=True)
            ]
        results = [
            judge(setting, trial, task, run)
            for (trial, _, _), task, run in zip(drawn, tasks, runs, strict=True)
        ]
        each = (time.perf_counter() - started) / len(drawn)
        return {
            result.number: result._replace(drawing=seconds, training=each)
            for result, (_, _, seconds) in zip(results, drawn, strict=True)
        }


class SingleRun:
    """A fine-tune on its own, for tasks that have no stacked form, to its end.

    Attributes:
        diverged: whether it did.
        scores: split -> metric -> value.
    """

    def __init__(
        self, setting: Setting, policy: Policy, task: Task, seed: int, splits: Sequence[str]
    ) -> None:
        self._run = FineTune(task, setting.finetuning, policy=policy, seed=seed)
        self._run.advance(self._run.steps)
        self.diverged = self._run.diverged
        self.scores = {split: dict(self._run.scores(split)) for split in splits}

    def outputs(self, split: str) -> Outputs:
        """Return logits, labels and features of a split."""
        return joined(self._run.outputs(split), "logits", "labels", "features")


def draw_task(setting: Setting, trial: Trial) -> Task:
    """Return the setting's task, with source images that are drawn from a trial's distribution.

    Raises:
        ValueError: it is not in the space, or nothing of a class was drawn.
        RendererDiedError: what draws died, each time.
    """
    family, task = setting.family, setting.base_task
    space = family.simulator.parameters
    psi = distribution_of(space, trial.distribution)
    train = family.simulated(psi, setting.images, _seed(trial, 0))
    held = task.source_validation
    if trial.judged_on is not None or setting.label_free:
        judged = distribution_of(space, trial.judged_on or trial.distribution)
        held = family.simulated(judged, setting.validation_images, _seed(trial, 1))
    return replace(task, source_train=train, source_validation=held, teacher_logits=None)


def judge(setting: Setting, trial: Trial, task: Task, run: Any) -> Result:
    """Return what a fine-tune that has ended is worth."""
    scores = {split: run.scores[split] for split in trial.splits}
    if run.diverged:
        return Result(trial.number, math.nan, scores, "the fine-tune diverged")
    if trial.judged_on is not None:
        metric = task.build_objectives()[0].metric()
        reward = metric.gain(run.scores["source_validation"][metric.name])
    elif setting.label_free:
        reward = LABEL_FREE[setting.reward](_predictions(task, run))
    else:
        metric = setting.metric
        reward = metric.gain(run.scores["target_validation"][metric.name])
    if not math.isfinite(reward):
        return Result(trial.number, math.nan, scores, "its reward is not finite")
    return Result(trial.number, reward, scores)


def _splits(setting: Setting, trial: Trial) -> set[str]:
    """Return the splits that a trial is scored on."""
    if trial.judged_on is not None:
        return {*trial.splits, "source_validation"}
    return {*trial.splits} if setting.label_free else {*trial.splits, "target_validation"}


def _predictions(task: Task, run: Any) -> Predictions:
    """Return what label-free scores look at; labels of real images are not among it."""
    target, held = run.outputs("target_validation"), run.outputs("source_validation")
    return Predictions(
        outputs=target.logits,
        features=target.features.flatten(1),
        source_features=held.features.flatten(1),
        source_losses=task.build_objectives()[0].losses(held.logits, held.labels),
    )


def _seed(trial: Trial, role: int) -> int:
    """Return a seed of its own for each role, so that held-out images are no training images."""
    entropy = np.random.SeedSequence([trial.seed, role])
    return int(entropy.generate_state(1, np.uint64)[0] >> np.uint64(1))
