"""One fine-tune in a folder: trained, scored on the way, checkpointed, gone on with."""

from __future__ import annotations

import sys
import time
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from l2o.benchmarks.cells.cell import Cell, Curve, learning_rates, load_family, load_task, stops
from l2o.benchmarks.cells.record import Point
from l2o.benchmarks.cells.scores_by_name import ON_THE_WAY, UNLABELLED, score
from l2o.configs.finetune import FinetuneConfig
from l2o.configs.load import config_data
from l2o.envs.build import build
from l2o.envs.fine_tuning.adapting.staged import Run, history_of, label_free
from l2o.envs.fine_tuning.fine_tune import FineTune
from l2o.envs.fine_tuning.inner_loop import InnerLoop
from l2o.envs.fine_tuning.processes import LaunchedProcesses, OneProcess, find_processes
from l2o.envs.policy_choice import build_policy
from l2o.envs.runtime.interrupts import check_interrupts, deferred_interrupts
from l2o.envs.runtime.run_lock import run_lock
from l2o.envs.runtime.threads import one_thread
from l2o.extras import require
from l2o.guarding.guard import Guard
from l2o.guidance.rows import GuidanceRows
from l2o.policies.common.checkpoint import (
    CHECKPOINT,
    PREVIOUS,
    fitting,
    load_checkpoint,
    save_checkpoint,
)
from l2o.schedules import SCHEDULES, Schedule
from l2o.service.finetuning.progress import Progress
from l2o.service.finetuning.selection import BestNetwork
from l2o.service.finetuning.stages import check_stage, stages_of, stops_of, with_stage
from l2o.service.finetuning.tracking import Tracker

FIELDS = frozenset({"run", "curve", "best", "decisions", "iteration", "seconds"})
"""What a checkpoint of a fine-tune holds."""
_AT_ONCE = 10
"""Steps between looks at Ctrl-C and at the progress bar."""


def run_finetune(
    config: FinetuneConfig, out: str | Path, resume: bool = False, server: str | None = None
) -> Path:
    """Fine-tune once; write network, predictions, results, figures and report into a folder.

    Args:
        config: task, loop, and the policy or schedule.
        out: the folder; made if missing.
        resume: go on from the folder's checkpoint, if there is one.
        server: URL of a server that shows its decisions and losses, too.

    Returns:
        Path of `results.json`.

    Raises:
        ValueError: unknown names or impossible values; found before any work.
        FolderInUseError: another run is at work in the folder.
        DamagedFileError: the checkpoint is damaged or of another run.
        KeyboardInterrupt: Ctrl-C; a checkpoint is written first.
    """
    out, config = Path(out), config.in_full()
    check(config)
    if resume and (out / "results.json").exists():
        return out / "results.json"
    processes = find_processes("cpu" if config.finetuning.device == "cpu" else "cuda")
    with _locked(out, processes), _threads(config), deferred_interrupts():
        tuning = Finetuning(config, out, processes)
        if server is None or not processes.is_main:
            return tuning.go(resume)
        with closing(tuning.run.controller.log_to(server, name=out.name)):
            return tuning.go(resume)


def check(config: FinetuneConfig) -> None:
    """Refuse a config that cannot run, before anything is written.

    Raises:
        ValueError: unknown names or impossible values, or what draws the report is not installed.
    """
    config = config.in_full()
    require("l2o finetune", "jinja2", "scipy", "matplotlib", extra="bench")
    GuidanceRows.of(InnerLoop.of(config.finetuning).guidance, build_policy(config.choice))
    load_family(config.task.model_dump_json())
    base_schedule(config)
    check_stage(config)


def base_schedule(config: FinetuneConfig) -> Schedule | None:
    """Return the schedule of the base learning rate, None where it has none.

    Raises:
        ValueError: an unknown name or argument.
    """
    named = config.base_lr_schedule
    return None if named is None else build("schedule", SCHEDULES, named)


class Finetuning:
    """A fine-tune with its curve, its best network and its checkpoints.

    Args:
        config: with what is short written in full.
        out: its folder.
        processes: that share it; the first of them writes.
    """

    def __init__(self, config: FinetuneConfig, out: Path, processes: OneProcess) -> None:
        self.config, self.out, self.processes = config, out, processes
        load_family(config.task.model_dump_json()).prepare(progress=sys.stderr.isatty())
        task = load_task(config.task.model_dump_json(), config.task_seed)
        self.loop = InnerLoop.of(config.finetuning)
        if isinstance(processes, LaunchedProcesses):
            self.loop = replace(self.loop, device=processes.device)
        self.base_lr = config.base_lr or task.base_lr
        first = FineTune(
            task,
            self.loop,
            policy=build_policy(config.choice, self.loop.interval, (config.task_seed, config.seed)),
            base_lr=self.base_lr,
            seed=config.seed,
            validate=config.choice.early_stopping is not None,
            guard=Guard() if config.guard else None,
            processes=processes,
            base_schedule=base_schedule(config),
            grouping=config.groups,
        )
        self.run: Run = first
        ends = stops(first.steps, config.evaluations, first.interval)
        if config.adaptation is not None:
            folder = out if processes.is_main else None
            self.run = staged = with_stage(first, config, self.base_lr, folder)
            ends = stops_of(staged, config.evaluations)
        self.curve = Curve(ends)
        self.best = BestNetwork(config.select, first.objective.metric())
        self.progress = Progress(out if processes.is_main else None, self.run.steps)
        self.seconds = self._trained = 0.0
        self._steps_here = 0
        self._decided_before: list[tuple[int, list[float]]] = []
        self._refuse_blind_choice()

    def _refuse_blind_choice(self) -> None:
        if self.best.label_free and self.run.task.target_train is None:
            raise ValueError(
                f"select={self.config.select} looks at unlabelled images of the target, and task "
                f"{self.run.task.name!r} has none; give it some (docs/adaptation.md), or take "
                "select=source_validation"
            )
        if self.best.split in self.run.task.unlabelled:
            raise ValueError(
                f"select={self.config.select} needs the labels of {self.best.split}, which are not "
                "known; take select=source_validation or select=last"
            )

    def go(self, resume: bool) -> Path:
        """Train to the end, and write what came of it."""
        if resume:
            self._restore()
        self.progress.go_on(self.run.step)
        began, before = time.perf_counter(), self.seconds
        shown = self.processes.is_main and sys.stderr.isatty()
        tracker = Tracker(
            self.config.tracker if self.processes.is_main else None,
            self.out,
            config_data(self.config),
        )
        with tqdm(
            total=self.run.steps, initial=self.run.step, disable=not shown, unit="step"
        ) as bar:
            while not self.curve.complete:
                self.seconds = before + time.perf_counter() - began
                self._advance(bar, tracker)
                self.seconds = before + time.perf_counter() - began
                try:
                    check_interrupts()
                except KeyboardInterrupt:
                    self._save()
                    raise
        tracker.close()
        self.seconds = before + time.perf_counter() - began
        return self._finish()

    def _advance(self, bar: Any, tracker: Tracker) -> None:
        """Take some steps; score and save where it is time to."""
        every, step = self.config.checkpoint_every, self.run.step
        steps = min(self.run.window, every - step % every, _AT_ONCE)
        began = time.perf_counter()
        self.run.advance(steps)
        self._trained += time.perf_counter() - began
        self._steps_here += steps
        self.curve.advance(steps, self.run.last_proxy_kl, self.run.diverged)
        bar.update(steps)
        bar.set_postfix_str(f"{self.images_per_second:.0f} images/s, loss {self.run.last_loss:.3g}")
        numbers = {"train/loss": self.run.last_loss, "train/proxy_kl": self.run.last_proxy_kl}
        rates = self.run.controller.get_last_lr()
        numbers |= {f"lr/{name}": rate for name, rate in rates.items()}
        tracker.log(self.run.step, numbers)
        self.progress.log(self.run.step, self.seconds, numbers)
        if self.curve.due:
            scores = self._score()
            tracker.log(self.run.step, scores)
            self.progress.log(self.run.step, self.seconds, scores, always=True)
        if self.run.step % every == 0 and not self.curve.complete:
            self._save()

    def _score(self) -> dict[str, float]:
        """Score the network as it is; return the scores by split and metric."""
        scores = {split: score(self.run, split) for split in ON_THE_WAY}
        if self.best.label_free or self.config.adaptation is not None:
            scores[UNLABELLED] = self._label_free_scores()
        self.curve.add(scores)
        if self.best.label_free:
            self.best.take(self.run.step, scores[UNLABELLED][self.best.rule], self.run.model)
        elif self.best.split is not None:
            chosen = scores.get(self.best.split) or self.run.scores(self.best.split)
            self.best.look(self.run.step, chosen, self.run.model)
        return {f"{split}/{name}": v for split, of in scores.items() for name, v in of.items()}

    def _label_free_scores(self) -> dict[str, float]:
        run = self.run
        return label_free(run) if isinstance(run, FineTune) else run.label_free_scores()

    @property
    def images_per_second(self) -> float:
        """How fast it trains, scoring left out."""
        images = self._steps_here * min(self.run.task.batch_size, len(self.run.task.source_train))
        return images / max(self._trained, 1e-9)

    def _save(self) -> None:
        if self.processes.is_main:
            points = [point.model_dump(mode="json") for point in self.curve.points]
            save_checkpoint(
                self.out,
                {
                    "run": self.run.state_dict(),
                    "curve": {"points": points, **self.curve.state()},
                    "best": self.best.state_dict(),
                    "decisions": self._decisions(),
                    "iteration": self.run.step,
                    "seconds": self.seconds,
                },
            )
        self.processes.wait()

    def _restore(self) -> None:
        state = load_checkpoint(self.out, fields=FIELDS)
        if state is None:
            return
        with fitting(self.out):
            self.run.load_state_dict(state["run"])
            self.best.load_state_dict(state["best"])
            self._decided_before = [(int(step), list(of)) for step, of in state["decisions"]]
            points = [Point.model_validate(point) for point in state["curve"]["points"]]
            self.curve.go_on(self.run.step, self.run.diverged, points, state["curve"])
            self.seconds = float(state["seconds"])

    def _finish(self) -> Path:
        """Score and write the network that is kept."""
        path = self.out / "results.json"
        if self.best.put_back(self.run.model) and self.best.step != self.run.step:
            scores = {split: score(self.run, split) for split in ON_THE_WAY}
        else:
            scores = {}
        if self.processes.is_main:
            from l2o.service.finetuning.written import write_all  # it loads what draws

            write_all(self, scores)
            for checkpoint in (CHECKPOINT, PREVIOUS):
                (self.out / checkpoint).unlink(missing_ok=True)
        self.processes.wait()
        return path

    def cell(self) -> Cell:
        """Return the benchmark's cell that this fine-tune is."""
        return Cell(
            task=self.config.task,
            task_seed=self.config.task_seed,
            seed=self.config.seed,
            base_lr_factor=self.base_lr / self.run.task.base_lr,
            finetuning=self.config.finetuning,
            choice=self.config.choice,
            evaluations=self.config.evaluations,
        )

    def _decisions(self) -> list[tuple[int, list[float]]]:
        """Return step and multipliers of each decision, those before a stop among them."""
        history = history_of(self.run)
        last = self._decided_before[-1][0] if self._decided_before else -1
        return self._decided_before + [(step, of) for step, of in history if step > last]

    def decided(self) -> Any:
        """Return what the controller decided, as records have it.

        Where the base learning rate follows a schedule, the multipliers have its factor at the
        decision within.
        """
        controller, layers = self.run.controller, len(self.run.controller.groups)
        factor = self.run.base_schedule.factor
        decisions = [
            (step, [m * factor(step) for m in of[:layers]] + of[layers:])
            for step, of in self._decisions()
        ]
        return learning_rates(
            [group.name for group in controller.groups],
            decisions,
            self.base_lr,
            list(controller.guidance.terms),
            stages_of(self.run),
        )


def _locked(out: Path, processes: OneProcess) -> AbstractContextManager[Any]:
    return run_lock(out) if processes.is_main else nullcontext()


def _threads(config: FinetuneConfig) -> AbstractContextManager[Any]:
    """Small networks in memory are fastest on one thread; others have those that torch takes."""
    family = load_family(config.task.model_dump_json())
    return one_thread() if family.in_memory else nullcontext()
