"""`l2o train`: learn a policy, with evaluation, checkpoints and resume."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from tqdm import tqdm

from l2o.configs.load import dump_config
from l2o.configs.schema import TrainConfig
from l2o.deciding.bundle import BundleError, load_bundle, read_card, save_policy
from l2o.envs.build import build
from l2o.envs.episode_rules import EpisodeRules
from l2o.envs.runtime.executor import WorkerDiedError
from l2o.envs.runtime.executor.choose import choose_executor
from l2o.envs.runtime.interrupts import check_interrupts, deferred_interrupts
from l2o.envs.runtime.run_lock import run_lock
from l2o.envs.runtime.threads import one_thread
from l2o.envs.tasks import TaskFamily
from l2o.envs.tasks.build import build_task
from l2o.files.atomic import write_atomically
from l2o.files.seals import write_json
from l2o.policies.algorithms import ALGORITHMS
from l2o.policies.common.card import training_card
from l2o.policies.common.checkpoint import fitting, load_checkpoint, save_checkpoint
from l2o.policies.common.evaluation import Evaluator, evaluation_task
from l2o.policies.common.learner import Learner
from l2o.policies.common.metrics import MetricsLog, last_iteration

SNAPSHOTS = "snapshots"
"""Folder of the policies as they stood at each evaluation, named by the fine-tunes until then."""

logger = logging.getLogger("l2o")


def train(
    config: TrainConfig, out: str | Path, resume: bool = False, progress: bool | None = None
) -> Path:
    """Learn a policy and write it, with all that explains it, into a run folder.

    The folder holds `config.yaml`, `metrics.jsonl`, `tensorboard/`, `checkpoints/latest.pt`,
    `results.json`, the best policy by evaluation as a bundle (`policy.safetensors`, `card.json`),
    and every evaluated one as `snapshots/FINE_TUNES/`. Killed at any moment, it can be resumed from
    the last checkpoint; Ctrl-C saves first, within a decision or so. Where a worker of Ray dies,
    with the environments that it held, it goes on from there by itself (`ray.replacements`).

    Args:
        config: what to learn.
        out: the run folder.
        resume: go on from the folder's checkpoint if there is one.
        progress: show a progress bar; None shows it on a terminal.

    Returns:
        The folder.

    Raises:
        ValueError: unknown names or impossible values; found before any work.
        FolderInUseError: another run is at work in the folder.
        DamagedFileError: a file that the run goes on from is damaged or lost; nothing is changed.
    """
    out, deaths = Path(out), 0
    shown = sys.stderr.isatty() if progress is None else progress
    while True:
        try:
            _train(config, out, resume, shown)
        except WorkerDiedError as death:
            deaths += 1
            if config.placement.name != "ray" or deaths > config.ray.replacements:
                raise
            logger.warning("l2o: %s. Going on from the last checkpoint", death)
            resume = True
        else:
            return out


def _train(config: TrainConfig, out: Path, resume: bool, shown: bool) -> None:
    with run_lock(out), one_thread():
        state = _checkpoint(config, out) if resume else None
        for family in check_training(config):
            family.prepare(progress=shown)
        with deferred_interrupts(), closing(Training(config, out)) as training:
            if resume:
                training.resume(state)
            write_atomically(out / "config.yaml", dump_config(config))
            training.run(shown)


def check_training(config: TrainConfig) -> list[TaskFamily]:
    """Make what a training names, so that a wrong name is an error before any work.

    Returns:
        The families that it trains and is evaluated on.

    Raises:
        ValueError: unknown names or impossible values.
    """
    families = [build_task(named) for named in (config.task, evaluation_task(config))]
    check_not_held_out(families)
    # What it refuses is to be no error in a worker.
    EpisodeRules(families[0], config.finetuning, config.environment)
    choose_executor(config.placement, config.workers)
    return families


def check_not_held_out(families: Sequence[TaskFamily]) -> None:
    """Raise ValueError where a family is one that no policy may be trained or selected on."""
    for family in families:
        if family.held_out_because:
            raise ValueError(f"task family {family.name!r}: {family.held_out_because}")


def _checkpoint(config: TrainConfig, out: Path) -> dict[str, Any] | None:
    """Return what a run goes on from, once all that it goes on from is known to be whole."""
    # A row is written just before the checkpoint of its iteration.
    written = last_iteration(out) > config.checkpoint_every
    return load_checkpoint(out, written)


def snapshot_folder(out: Path, episodes: int) -> Path:
    """Return where the policy is kept as it stood after so many fine-tunes."""
    return out / SNAPSHOTS / f"{episodes:06d}"


class Training:
    """One training run: learner, budget, evaluation, checkpoints."""

    def __init__(self, config: TrainConfig, out: Path) -> None:
        self.config = config
        self.out = out
        self.learner: Learner = build("algorithm", ALGORITHMS, config.algorithm, config=config)
        self.evaluator = Evaluator(config)
        self.log = MetricsLog(out)
        self.iteration = 0
        self.seconds = 0.0
        self.best: dict[str, float] | None = None
        self.evaluations: list[dict[str, float]] = []
        self._evaluated = -1

    def resume(self, state: dict[str, Any] | None) -> None:
        """Go on from a checkpoint; None, a run that was killed before its first, begins anew.

        Raises:
            DamagedFileError: the checkpoint is none of such a run.
        """
        if state is None:
            self.log.truncate(0)
            return
        with fitting(self.out):
            self.learner.load_state_dict(state["learner"])
            self.iteration = int(state["iteration"])
            self.seconds = float(state["seconds"])
            self.best = state["best"]
            self.evaluations = list(state["evaluations"])
            self._evaluated = int(state["evaluated"])
        self._mend_policy()
        self.log.truncate(self.iteration)

    def _mend_policy(self) -> None:
        """Put the best policy back where a kill between its two files, or damage, broke it."""
        if self.best is None:
            return
        try:
            load_bundle(self.out)
        except BundleError as error:
            kept = snapshot_folder(self.out, int(self.best["episodes"]))
            try:
                save_policy(self.out, load_bundle(kept), read_card(kept))
            except BundleError:
                raise error from None
            logger.warning("l2o: %s; put back from %s", error, kept)

    def spent(self) -> float:
        """Return the share of the budget that is used up, in [0, 1]."""
        episodes = self.learner.episodes / self.config.episodes
        minutes = self.seconds / 60 / self.config.minutes if self.config.minutes else 0.0
        return min(1.0, max(episodes, minutes))

    def run(self, progress: bool) -> None:
        """Iterate until the budget is spent; save on the way, and on Ctrl-C."""
        layout = "{l_bar}{bar}| {elapsed}<{remaining}{postfix}"
        with tqdm(total=100, disable=not progress, bar_format=layout, desc="train") as bar:
            bar.update(100 * self.spent())
            try:
                while self.spent() < 1.0:
                    self._iterate(bar)
                    check_interrupts()
                self.evaluate()
            except KeyboardInterrupt:
                self.save()
                raise
        self.save()

    def _iterate(self, bar: Any) -> None:
        metrics = self.iterate()
        bar.set_postfix(
            fine_tunes=self.learner.episodes,
            target=f"{metrics.get('target_accuracy', float('nan')):.3f}",
            best=f"{self.best['target_accuracy']:.3f}" if self.best else "-",
        )
        bar.update(100 * self.spent() - bar.n)

    def iterate(self) -> dict[str, float]:
        """Do one iteration of the algorithm; evaluate and save where it is time to."""
        started = time.perf_counter()
        metrics = self.learner.iterate()
        self.iteration += 1
        if self.iteration % self.config.evaluation.every == 0:
            self.evaluate()
        self.seconds += time.perf_counter() - started
        self.log.write(self._row(metrics))
        if self.iteration % self.config.checkpoint_every == 0:
            self.save()
        return metrics

    def _row(self, metrics: dict[str, float]) -> dict[str, float]:
        evaluated = self._evaluated == self.iteration
        extra = {"evaluation": self.evaluations[-1]["target_accuracy"]} if evaluated else {}
        return {
            "iteration": self.iteration,
            "episodes": self.learner.episodes,
            "fine_tune_steps": self.learner.fine_tune_steps,
            "elapsed_seconds": self.seconds,
            **metrics,
            **extra,
        }

    def evaluate(self) -> None:
        """Score the policy on tasks not trained on, and keep it if it is the best so far."""
        if self._evaluated == self.iteration:
            return
        policy = self.learner.policy()
        score = self.evaluator.score(policy)
        result = {
            "iteration": self.iteration,
            "episodes": self.learner.episodes,
            "target_accuracy": score.target_accuracy,
            "worst": score.worst,
            "runs": score.runs,
        }
        self._evaluated = self.iteration
        self.evaluations.append(result)
        card = training_card(self.config, self.learner, result)
        save_policy(snapshot_folder(self.out, self.learner.episodes), policy, card)
        if self.best is None or score.target_accuracy > self.best["target_accuracy"]:
            self.best = result
            save_policy(self.out, policy, card)

    def state_dict(self) -> dict[str, Any]:
        """Return what a training goes on from, as tensors and plain data."""
        return {
            "learner": self.learner.state_dict(),
            "iteration": self.iteration,
            "seconds": self.seconds,
            "best": self.best,
            "evaluations": self.evaluations,
            "evaluated": self._evaluated,
        }

    def save(self) -> None:
        """Write the checkpoint and `results.json`."""
        save_checkpoint(self.out, self.state_dict())
        self.learner.leave(self.out)
        results = {
            "kind": "train",
            "episodes": self.learner.episodes,
            "fine_tune_steps": self.learner.fine_tune_steps,
            "seconds": self.seconds,
            "speed": self.log.speed(),
            "best": self.best,
            "evaluations": self.evaluations,
        }
        write_json(self.out / "results.json", results, indent=2)

    def close(self) -> None:
        """End all workers."""
        self.log.close()
        self.evaluator.close()
        self.learner.close()
