"""`l2o train`, of a simulator: search for a distribution over psi, with checkpoints and a card."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from l2o.configs.learn_simulator import LearnSimulatorConfig
from l2o.configs.load import config_data, dump_config
from l2o.envs.build import build
from l2o.envs.runtime.executor import Executor
from l2o.envs.runtime.executor.choose import choose_executor
from l2o.envs.runtime.interrupts import check_interrupts, deferred_interrupts
from l2o.envs.runtime.run_lock import run_lock
from l2o.envs.runtime.threads import one_thread
from l2o.envs.simulators.distributions import PointDistribution
from l2o.envs.simulators.distributions.uniform import Uniform
from l2o.envs.simulators.distributions.written import FILE, given_distribution, save_distribution
from l2o.envs.simulators.learning.environment import worst
from l2o.envs.simulators.learning.setting import Result, Setting, Trial
from l2o.envs.simulators.learning.trials import run_trials
from l2o.files.atomic import write_atomically
from l2o.files.jsonl import append_row, end_torn_row, keep_rows, read_rows
from l2o.files.seals import write_json
from l2o.policies.common.checkpoint import fitting, load_checkpoint, save_checkpoint
from l2o.policies.common.metrics import METRICS, REMEDY
from l2o.policies.reinforce.simulators import SEARCHES, Search, Tried
from l2o.policies.reinforce.simulators.base import Ask
from l2o.policies.reinforce.simulators.evaluation import evaluate, trial_seed

FIELDS = frozenset({"search", "iteration", "trials", "seconds"})
"""What a checkpoint holds."""


def learn_simulator(
    config: LearnSimulatorConfig,
    out: str | Path,
    resume: bool = False,
    progress: bool | None = None,
) -> Path:
    """Learn a distribution over psi and write it, with all that explains it, into a run folder.

    The folder holds `config.yaml`, `metrics.jsonl` (a row for each iteration), the checkpoint,
    `results.json`, and `simulator.json`: the distribution with its card, which `l2o simulate` and
    tasks take. Killed at any moment, it can be resumed from its last iteration.

    Args:
        config: what to learn.
        out: the run folder.
        resume: go on from the folder's checkpoint if there is one.
        progress: show a progress bar; None shows it on a terminal.

    Returns:
        The folder.

    Raises:
        ValueError: unknown names or impossible values, before any work; or every trial of the
            first iteration failed.
        FolderInUseError: another run is at work in the folder.
        DamagedFileError: a file that the run goes on from is damaged; nothing is changed.
    """
    out = Path(out)
    shown = sys.stderr.isatty() if progress is None else progress
    with run_lock(out), one_thread():
        state = load_checkpoint(out, fields=FIELDS) if resume else None
        learning = LearningToSimulate(config, out)
        learning.setting.family.prepare(progress=shown)
        learning.setting.check()
        if state is not None:
            with fitting(out):
                learning.load_state_dict(state)
        write_atomically(out / "config.yaml", dump_config(config))
        with deferred_interrupts(), choose_executor(config.placement, config.workers) as executor:
            learning.run(executor, shown)
    return out


def setting_of(config: LearnSimulatorConfig) -> Setting:
    """Return what all trials of a config have in common."""
    return Setting(
        task=config.task,
        task_seed=config.task_seed,
        finetuning=config.finetuning,
        choice=config.choice,
        images=config.images,
        validation_images=config.validation_images,
        reward=config.reward,
        stacked=config.stacked,
        head_only=config.head_only,
    )


class LearningToSimulate:
    """One run: search, budget, log, checkpoints.

    Args:
        config: what to learn.
        out: the run folder.

    Raises:
        ValueError: unknown names or impossible values.
    """

    def __init__(self, config: LearnSimulatorConfig, out: Path) -> None:
        self.config, self.out = config, out
        self.setting = setting_of(config)
        self.simulator = self.setting.simulator
        space = self.simulator.parameters
        self.start: PointDistribution = (
            Uniform(space)
            if config.start is None
            else given_distribution(self.simulator, config.start)
        )
        self.search: Search = build(
            "search",
            SEARCHES,
            config.search,
            space=space,
            start=self.start,
            actions=config.actions,
            seed=config.seed,
            budget=config.trials,
        )
        self.iteration = self.trials = 0
        self.seconds = 0.0
        self.failed = math.nan
        self._last: list[Result] = []

    def run(self, executor: Executor, shown: bool) -> None:
        """Iterate until the budget is spent, score, and write."""
        self._cut_log()
        self.failed = worst(self.setting)
        if self.trials == 0:
            self._log({}, self.search.distribution())
        with tqdm(total=self.config.trials, disable=not shown, unit="trial") as bar:
            bar.update(self.trials)
            while self.trials < self.config.trials:
                count = min(self.search.batch, self.config.trials - self.trials)
                self._iterate(executor, count)
                bar.update(count)
                check_interrupts()
        full = replace(self.setting, head_only=False)
        scored = evaluate(full, self._rivals(), self.config.evaluation, self.config.seed, executor)
        self._write(scored)

    def _iterate(self, executor: Executor, count: int) -> None:
        started = time.perf_counter()
        told = self.search.iterate(lambda asks: self._try(executor, asks), count)
        self.iteration += 1
        self.trials += count
        self.seconds += time.perf_counter() - started
        self._log(told, self.search.distribution())
        save_checkpoint(self.out, self.state_dict())

    def _try(self, executor: Executor, asks: Sequence[Ask]) -> Tried:
        trials = [
            Trial(
                number=self.trials + place,
                distribution=ask.distribution.to_plain(),
                seed=trial_seed(self.config.seed, self.trials + place),
                judged_on=None if ask.judged_on is None else ask.judged_on.to_plain(),
            )
            for place, ask in enumerate(asks)
        ]
        self._last = list(run_trials(self.setting, trials, executor))
        rewards = np.array([result.reward for result in self._last])
        failed = np.isnan(rewards)
        if failed.all() and self.iteration == 0:
            raise ValueError(
                f"all {len(rewards)} trials of the first iteration failed, the first one so: "
                f"{self._last[0].error}; begin with `start` where images can be learned from"
            )
        lowest = self.failed
        if self.setting.label_free and not failed.all():
            lowest = float(np.nanmin(rewards))
        return Tried(np.where(failed, lowest, rewards), failed)

    def _log(self, told: Mapping[str, float], now: PointDistribution) -> None:
        """Append a row: what the iteration was worth, and the distribution as it stands."""
        rewards = np.array([result.reward for result in self._last])
        worth = rewards[np.isfinite(rewards)]
        errors = sorted({result.error for result in self._last if result.error})
        drawing = sum(result.drawing for result in self._last)
        training = sum(result.training for result in self._last)
        row = {
            "iteration": self.iteration,
            "trials": self.trials,
            "elapsed_seconds": self.seconds,
            "reward": float(worth.mean()) if len(worth) else None,
            "best": float(worth.max()) if len(worth) else None,
            "failed": int(len(rewards) - len(worth)),
            "errors": errors[:3],
            "drawing_seconds": drawing,
            "training_seconds": training,
            **told,
            "distribution": now.to_plain(),
        }
        append_row(self.out / METRICS, row)

    def _cut_log(self) -> None:
        """Drop the rows of iterations that a killed run had no checkpoint of."""
        path = self.out / METRICS
        rows = read_rows(path, REMEDY)
        kept = [row for row in rows if row["iteration"] <= self.iteration and self.trials]
        if len(kept) < len(rows):
            keep_rows(path, kept)
        elif path.exists():
            end_torn_row(path, REMEDY)

    def _rivals(self) -> dict[str, PointDistribution]:
        """Return what the learned distribution is compared with, and itself."""
        space = self.simulator.parameters
        return {
            "learned": self.search.distribution(),
            "start": self.start,
            "randomization": Uniform(space),
            "defaults": given_distribution(self.simulator, {}),
        }

    def _write(self, scored: Mapping[str, Any]) -> None:
        rows = read_rows(self.out / METRICS, REMEDY)
        drawing = sum(row["drawing_seconds"] for row in rows)
        training = sum(row["training_seconds"] for row in rows)
        facts = {
            "name": self.config.name,
            "search": self.config.search.name,
            "task": self.config.task.model_dump(),
            "task_seed": self.config.task_seed,
            "trials": self.trials,
            "failed": sum(row["failed"] for row in rows),
            "reward": self.config.reward or self.setting.metric.name,
            "scores": dict(scored),
        }
        learned = self.search.distribution()
        save_distribution(self.out / FILE, self.simulator, learned, facts)
        results = {
            "kind": "learn_simulator",
            **facts,
            "seconds": self.seconds,
            "share_drawing": drawing / max(drawing + training, 1e-9),
            "images_per_second": self.trials * self.config.images / max(drawing, 1e-9),
            "config": config_data(self.config),
        }
        write_json(self.out / "results.json", results, indent=2)

    def state_dict(self) -> dict[str, Any]:
        """Return what the run goes on from, as tensors and plain data."""
        return {
            "search": self.search.state_dict(),
            "iteration": self.iteration,
            "trials": self.trials,
            "seconds": self.seconds,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state_dict()`."""
        self.search.load_state_dict(state["search"])
        self.iteration, self.trials = int(state["iteration"]), int(state["trials"])
        self.seconds = float(state["seconds"])
