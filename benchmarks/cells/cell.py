"""One cell of a benchmark: one fine-tune, run on its own."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

from l2o import __version__
from l2o.benchmarks.cells.code_hash import hash_code, hash_settings
from l2o.benchmarks.cells.curve import Curve, learning_rates, stops, to_plain
from l2o.benchmarks.cells.record import RECORD_VERSION, LearningRates, Record
from l2o.benchmarks.cells.scores_by_name import ON_THE_WAY, PROXY, UNLABELLED, score
from l2o.configs.adaptation import Adaptation
from l2o.configs.schema import FineTuning, Named, Options, PolicyChoice
from l2o.configs.search import Search

if TYPE_CHECKING:
    from l2o.envs.fine_tuning.adapting.staged import Run
    from l2o.envs.fine_tuning.fine_tune import FineTune
    from l2o.envs.objectives import Objective
    from l2o.measures import Outputs

Scored = dict[str, float]
"""Metric -> value."""


LATER = {
    *("precision", "channels_last", "accumulate", "compile"),
    *("source_weights", "source_norm", "rehearsal"),
}
"""Fields of a loop that are in no id at their defaults: tables made before them keep theirs."""


@dataclass(frozen=True)
class Cell:
    """Everything that decides the outcome of one fine-tune, and nothing else.

    Attributes:
        task: the task family.
        task_seed: which task of it.
        seed: of the new head and the batches.
        base_lr_factor: times the task's base learning rate.
        base_lr: the base learning rate, whatever the task and the factor; None: theirs.
        finetuning: the inner loop, with the guidance of this cell.
        choice: what sets the learning rates.
        evaluations: points of the curve, the end included.
        fingerprint: hash of the learned policy's files; a retrained policy makes a new cell.
        precision: number format of the network. Whether it is computed alone or stacked with others
            is no part of a cell: its numbers are the same but for rounding.
        guard: whether the controller's guard watches over it.
        groups: how layers are grouped, as JSON (`FineTune`); None: one group for each block.
        adaptation: a second stage, on the target's unlabelled images; None: there is none.
        search: by Ray Tune, over this fine-tune's settings; None: they are as they are.
    """

    task: Named
    task_seed: int
    seed: int
    base_lr_factor: float
    finetuning: FineTuning
    choice: PolicyChoice
    evaluations: int
    fingerprint: str = ""
    precision: str = "float32"
    base_lr: float | None = None
    guard: bool = False
    groups: str | None = None
    adaptation: Adaptation | None = None
    search: Search | None = None

    def rate(self, task_base_lr: float) -> float:
        """Return the base learning rate on a task."""
        return task_base_lr * self.base_lr_factor if self.base_lr is None else self.base_lr

    @property
    def run(self) -> tuple[int, int]:
        """What tells the fine-tunes of one row apart, for rules that draw."""
        return self.task_seed, self.seed

    @property
    def validates(self) -> bool:
        """Whether the policy is told the source validation loss at each decision."""
        return self.choice.early_stopping is not None

    @cached_property
    def id(self) -> str:
        """Hash of settings, and of the code they name: equal ones of one release have equal ids."""
        content: Options = {
            "version": RECORD_VERSION,
            "l2o": __version__,
            "task": self.task.model_dump(mode="json"),
            "task_seed": self.task_seed,
            "seed": self.seed,
            "base_lr_factor": float(self.base_lr_factor),
            "finetuning": _told(self.finetuning),
            "choice": _chosen(self.choice),
            "evaluations": self.evaluations,
            "fingerprint": self.fingerprint,
        }
        if self.precision != "float32":
            content["precision"] = self.precision
        if self.base_lr is not None:
            # One fine-tune stands for all factors.
            content |= {"base_lr": self.base_lr, "base_lr_factor": 1.0}
        if self.search is not None:
            content["search"] = self.search.model_dump(mode="json")
            if "base_lr" in self.search.fields:
                content["base_lr_factor"] = 1.0
        # Only where there are some: cells of earlier releases keep their ids.
        if self.guard:
            content["guard"] = True
        if self.groups is not None:
            content["groups"] = json.loads(self.groups)
        if self.adaptation is not None:
            content["adaptation"] = self.adaptation.model_dump(mode="json")
        if code := hash_code(content):
            content["code"] = code
        return hash_settings(content)


def _told(finetuning: FineTuning) -> Options:
    """Return a loop's fields, less those of later releases that are at their defaults."""
    plain = finetuning.model_dump(mode="json")
    told = finetuning.model_dump(mode="json", include=LATER, exclude_defaults=True)
    return {key: value for key, value in plain.items() if key not in LATER} | told


def _chosen(choice: PolicyChoice) -> Options:
    """Return a choice's fields, less the one of a later release that is at its default."""
    plain = choice.model_dump(mode="json")
    if not choice.sample:
        del plain["sample"]
    return plain


def run_cell(cell: Cell) -> Record:
    """Run one fine-tune and return its record; what fails is recorded, too, never raised."""
    try:
        return measure(cell)
    except Exception as error:
        return failed(cell, error)


def failed(cell: Cell, error: Exception) -> Record:
    """Return the record of a cell that failed."""
    trace = "".join(traceback.format_exception(error))
    return record_of(cell, error=f"{type(error).__name__}: {error}", traceback=trace)


def record_of(cell: Cell, **found: Any) -> Record:
    """Return the record of a cell with what was found."""
    return Record(
        id=cell.id,
        task_seed=cell.task_seed,
        seed=cell.seed,
        base_lr_factor=cell.base_lr_factor,
        **found,
    )


def measure(cell: Cell) -> Record:
    """Fine-tune, and measure on the way and at the end."""
    if cell.precision != "float32":
        raise ValueError(f"precision {cell.precision} is for stacked fine-tunes; use float32")
    began = time.perf_counter()
    if cell.search is not None:
        from l2o.benchmarks.cells.searched import measure_search

        return measure_search(cell, began)
    if cell.adaptation is not None:
        from l2o.benchmarks.cells.two_stages import measure_stages

        return measure_stages(cell, began)
    run = begin(cell)
    curve = Curve(stops(run.steps, cell.evaluations, run.interval))
    follow(run, curve)
    return record_of_run(
        cell,
        run,
        curve,
        decided=[(record.step, record.multipliers) for record in run.controller.history],
        terms=list(run.controller.guidance.terms),
        seconds=time.perf_counter() - began,
    )


def follow(run: Run, curve: Curve, label_free: Callable[[], Scored] | None = None) -> None:
    """Train to the end of a curve, and measure where it says.

    Args:
        run: a fine-tune.
        curve: of it.
        label_free: gives scores of its network by the target's unlabelled images, too.
    """
    while not curve.complete:
        # By decisions, as a stack advances: a run that diverges ends there.
        taken = run.window
        run.advance(taken)
        curve.advance(taken, run.last_proxy_kl, run.diverged)
        if curve.due:
            scores = {split: score(run, split) for split in ON_THE_WAY}
            if label_free is not None:
                scores[UNLABELLED] = label_free()
            curve.add(scores)


def begin(cell: Cell) -> FineTune:
    """Return the fine-tune of a cell, before its first step."""
    from l2o.envs.fine_tuning.fine_tune import FineTune
    from l2o.envs.fine_tuning.inner_loop import InnerLoop
    from l2o.envs.policy_choice import build_policy
    from l2o.guarding.guard import Guard

    task = load_task(cell.task.model_dump_json(), cell.task_seed)
    loop = InnerLoop.of(cell.finetuning)
    return FineTune(
        task,
        loop,
        policy=build_policy(cell.choice, loop.interval, cell.run),
        base_lr=cell.rate(task.base_lr),
        seed=cell.seed,
        validate=cell.validates,
        guard=Guard() if cell.guard else None,
        grouping=None if cell.groups is None else json.loads(cell.groups),
    )


def record_of_run(
    cell: Cell,
    run: Run,
    curve: Curve,
    *,
    decided: Sequence[tuple[int, Sequence[float]]],
    terms: Sequence[str] = (),
    stages: Mapping[str, int] | None = None,
    base_lr: float | None = None,
    seconds: float,
) -> Record:
    """Return what is measured of a run that has ended.

    Args:
        cell: whose run it is.
        run: at its end.
        curve: of it.
        decided: (step, multipliers) of each decision.
        terms: names of guidance terms whose weights are among the multipliers.
        stages: name -> first step, where there are several.
        base_lr: that multipliers refer to; None: the cell's.
        seconds: that it took.
    """
    from l2o.benchmarks.cells.target_measures import kept

    return measured_record(
        cell,
        curve,
        score(run, PROXY),
        kept(run.outputs("target_test"), run.objective),
        run.objective,
        steps=run.steps,
        seconds=seconds,
        learning_rates=learning_rates(
            [group.name for group in run.controller.groups],
            decided,
            base_lr or cell.rate(run.task.base_lr),
            terms,
            stages,
        ),
    )


def measured_record(
    cell: Cell,
    curve: Curve,
    proxy: Mapping[str, float],
    outputs: Outputs,
    objective: Objective,
    *,
    steps: int,
    seconds: float,
    learning_rates: LearningRates,
) -> Record:
    """Return what is measured of a fine-tune that has ended; its scores are the curve's last."""
    from l2o.benchmarks.cells.target_measures import class_accuracies, target_measures

    last = curve.points[-1].scores
    classes, main = objective.name == "classification", objective.metric()
    return record_of(
        cell,
        metric=main.name,
        direction=main.direction,
        unit=main.unit,
        scores={**last, PROXY: to_plain(proxy)},
        measures=target_measures(outputs, classes),
        class_accuracy=class_accuracies(outputs) if classes else (),
        diverged=curve.diverged or last["source_validation"]["loss"] is None,
        chance=main.chance,
        steps=steps,
        seconds=round(seconds, 3),
        curve=tuple(curve.points),
        learning_rates=learning_rates,
    )


@lru_cache(maxsize=1)
def load_family(task: str) -> Any:
    """Return the task family of a `Named` given as JSON; the last one is kept."""
    from l2o.envs.tasks.build import build_task

    return build_task(Named.model_validate_json(task))


@lru_cache(maxsize=8)
def load_task(task: str, seed: int) -> Any:
    """Return a task; each process samples each task once."""
    return load_family(task).sample(seed)
