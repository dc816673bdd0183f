"""One cell of a benchmark: one fine-tune, run on its own."""

from __future__ import annotations

import hashlib
import json
import math
import time
import traceback
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib import metadata
from typing import TYPE_CHECKING, Any

from l2o.configs.schema import FineTuning, Named, PolicyChoice
from l2o.intervals import Interval, Windows
from l2o.intervals.plain import as_interval

if TYPE_CHECKING:
    from l2o.envs.objectives import Objective
    from l2o.measures import Outputs

CELL_VERSION = 3
"""Raised when the measurement of a cell changes its meaning, so that old results are not reused."""

Record = dict[str, Any]
"""What a cell gives: plain JSON data."""


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
        """Hash of the content: equal settings of one release have equal ids, on any machine."""
        content: dict[str, Any] = {
            "version": CELL_VERSION,
            "l2o": metadata.version("l2o"),
            "task": self.task.model_dump(mode="json"),
            "task_seed": self.task_seed,
            "seed": self.seed,
            "base_lr_factor": float(self.base_lr_factor),
            "finetuning": self.finetuning.model_dump(mode="json"),
            "choice": self.choice.model_dump(mode="json"),
            "evaluations": self.evaluations,
            "fingerprint": self.fingerprint,
        }
        if self.precision != "float32":
            content["precision"] = self.precision
        if self.choice.rule is None:
            # What was run before there were rules is not run anew.
            del content["choice"]["rule"]
        if self.base_lr is not None:
            # One fine-tune stands for all factors.
            content |= {"base_lr": self.base_lr, "base_lr_factor": 1.0}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def run_cell(cell: Cell) -> Record:
    """Run one fine-tune and return its record; what fails is recorded, too, never raised.

    Example of a record (shortened):
        {"id": "9f...", "target_accuracy": 0.61, "diverged": false, "error": null, ...}
    """
    try:
        return finished(cell, measure(cell))
    except Exception as error:
        return failed(cell, error)


def finished(cell: Cell, measured: Record) -> Record:
    """Return the record of a cell that was measured."""
    return _settings(cell) | {"error": None} | measured


def failed(cell: Cell, error: Exception) -> Record:
    """Return the record of a cell that failed."""
    reason = f"{type(error).__name__}: {error}"
    trace = "".join(traceback.format_exception(error))
    return _settings(cell) | {"error": reason, "traceback": trace}


def _settings(cell: Cell) -> Record:
    return {
        "id": cell.id,
        "task_seed": cell.task_seed,
        "seed": cell.seed,
        "base_lr_factor": cell.base_lr_factor,
    }


def measure(cell: Cell) -> Record:
    """Fine-tune, and measure on the way and at the end."""
    from l2o.envs.fine_tune import FineTune
    from l2o.envs.inner_loop import InnerLoop
    from l2o.envs.policy_choice import build_policy

    if cell.precision != "float32":
        raise ValueError(f"precision {cell.precision} is for stacked fine-tunes; use float32")
    began = time.perf_counter()
    task = load_task(cell.task.model_dump_json(), cell.task_seed)
    base_lr = cell.rate(task.base_lr)
    loop = InnerLoop.of(cell.finetuning)
    run = FineTune(
        task,
        loop,
        policy=build_policy(cell.choice, loop.interval, cell.run),
        base_lr=base_lr,
        seed=cell.seed,
        validate=cell.validates,
    )
    main = run.objective.main
    curve = Curve(stops(run.steps, cell.evaluations, run.interval))
    while not curve.complete:
        # By decisions, as a stack advances: a run that diverges ends there.
        taken = run.window
        run.advance(taken)
        curve.advance(taken, run.last_proxy_kl, run.diverged)
        if curve.due:
            source = run.scores("source_validation")
            curve.add(run.scores("target_test")[main], source[main], source["loss"])
    return measured_record(
        curve,
        run.proxy_scores()[run.proxy_objective.main],
        run.outputs("target_test"),
        run.objective,
        steps=run.steps,
        seconds=time.perf_counter() - began,
        learning_rates=learning_rates(
            [group.name for group in run.controller.groups],
            [(record.step, record.multipliers) for record in run.controller.history],
            base_lr,
            list(run.controller.guidance.terms),
        ),
    )


class Curve:
    """The accuracy over training of one fine-tune: when it is measured, and what.

    Args:
        stops: steps at which it is measured, the end included.

    Attributes:
        step: optimizer steps done.
        diverged: whether the fine-tune has; it ends there.
        points: what was measured.
    """

    def __init__(self, stops: Sequence[int]) -> None:
        self.stops = list(stops)
        self.step = 0
        self.diverged = False
        self.points: list[Record] = []
        self._kl, self._since = 0.0, 0

    def advance(self, steps: int, proxy_kl: float, diverged: bool) -> None:
        """Note steps that were taken, with their mean proxy KL."""
        self.step += steps
        self.diverged = bool(diverged)
        self._kl += proxy_kl * steps
        self._since += steps

    @property
    def complete(self) -> bool:
        """Whether the fine-tune has ended and its last point is there."""
        return self._ended and self._measured

    @property
    def due(self) -> bool:
        """Whether a point is to be measured now."""
        return not self._measured and (self._ended or self.step in self.stops)

    @property
    def _ended(self) -> bool:
        return self.diverged or self.step >= self.stops[-1]

    @property
    def _measured(self) -> bool:
        return bool(self.points) and self.points[-1]["step"] == self.step

    def add(self, target_accuracy: float, source_accuracy: float, loss: float) -> None:
        """Add a point.

        Args:
            target_accuracy: the objective's main metric on the real test images.
            source_accuracy: likewise on the synthetic validation images.
            loss: on the synthetic validation images.
        """
        self.points.append(
            {
                "step": self.step,
                "target_accuracy": finite(target_accuracy),
                "source_accuracy": finite(source_accuracy),
                "proxy_kl": finite(self._kl / self._since),
                "loss": finite(loss),
            }
        )
        self._kl, self._since = 0.0, 0


def measured_record(
    curve: Curve,
    proxy_accuracy: float,
    outputs: Outputs,
    objective: Objective,
    *,
    steps: int,
    seconds: float,
    learning_rates: Record,
) -> Record:
    """Return what is measured of a fine-tune that has ended; its scores are the curve's last."""
    from l2o.benchmarks.cells.target_measures import target_record

    last = curve.points[-1]
    return {
        "metric": objective.main,
        "target_accuracy": last["target_accuracy"],
        "proxy_accuracy": finite(proxy_accuracy),
        "source_accuracy": last["source_accuracy"],
        "source_validation_loss": last["loss"],
        **target_record(outputs, classes=objective.name == "classification"),
        "diverged": curve.diverged or last["loss"] is None,
        "chance": objective.metric().chance,
        "steps": steps,
        "seconds": round(seconds, 3),
        "curve": curve.points,
        "learning_rates": learning_rates,
    }


def learning_rates(
    groups: Sequence[str],
    decisions: Iterable[tuple[int, Sequence[float]]],
    base_lr: float,
    guidance: Sequence[str] = (),
) -> Record:
    """Return what was decided: steps and multipliers, shortened to four digits.

    Args:
        groups: names of the layer groups.
        decisions: step and multipliers of each decision.
        base_lr: what the multipliers multiply.
        guidance: names of guidance terms whose weights were scaled; their multipliers come after
            those of the groups, and are recorded as `guidance`.
    """
    chosen = list(decisions)
    layers = len(groups)
    found = {
        "step": [step for step, _ in chosen],
        "groups": list(groups),
        "multipliers": [[_short(m) for m in multipliers[:layers]] for _, multipliers in chosen],
        "base_lr": base_lr,
    }
    if guidance:
        scales = zip(*(multipliers[layers:] for _, multipliers in chosen), strict=True)
        found["guidance"] = {
            name: [_short(m) for m in row] for name, row in zip(guidance, scales, strict=True)
        }
    return found


def stops(steps: int, evaluations: int, interval: Interval | int = 1) -> list[int]:
    """Return the steps at which the curve is measured: spread over the decisions, the end included.

    There are fewer of them where there are fewer decisions.

    Example:
        >>> stops(300, 4), stops(300, 4, interval=10)
        ([75, 150, 225, 300], [80, 150, 230, 300])
        >>> from l2o.intervals import Growing
        >>> stops(100, 3, Growing(10, growth=0.5))  # of 10, 20, 30, 45, 67, 100
        [30, 67, 100]
    """
    ends = Windows(as_interval(interval), steps).whole_ends(steps)
    wanted = [steps * i / evaluations for i in range(1, evaluations + 1)]
    nearest = {min(ends, key=lambda end: (abs(end - at), -end)) for at in wanted}
    return sorted({min(end, steps) for end in nearest} | {steps})


def finite(value: float, digits: int = 6) -> float | None:
    """Return the rounded number, or None for what JSON cannot hold."""
    return round(float(value), digits) if math.isfinite(value) else None


@lru_cache(maxsize=1)
def load_family(task: str) -> Any:
    """Return the task family of a `Named` given as JSON; the last one is kept."""
    from l2o.envs.build import build
    from l2o.envs.tasks import TASKS

    return build("task", TASKS, Named.model_validate_json(task))


@lru_cache(maxsize=8)
def load_task(task: str, seed: int) -> Any:
    """Return a task; each process samples each task once."""
    return load_family(task).sample(seed)


def _short(value: float) -> float | None:
    return float(f"{float(value):.4g}") if math.isfinite(value) else None
