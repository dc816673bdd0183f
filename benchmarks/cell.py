"""One cell of a benchmark: one fine-tune, and the only file that touches `FineTune`."""

from __future__ import annotations

import hashlib
import json
import math
import time
import traceback
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib import metadata
from typing import Any

from l2o.configs.schema import FineTuning, Named, PolicyChoice

CELL_VERSION = 1
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
        finetuning: the inner loop, with the guidance of this cell.
        choice: what sets the learning rates.
        evaluations: points of the curve, the end included.
        fingerprint: hash of the learned policy's files; a retrained policy makes a new cell.
    """

    task: Named
    task_seed: int
    seed: int
    base_lr_factor: float
    finetuning: FineTuning
    choice: PolicyChoice
    evaluations: int
    fingerprint: str = ""

    @cached_property
    def id(self) -> str:
        """Hash of the content: equal settings of one release have equal ids, on any machine."""
        content = {
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
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def run_cell(cell: Cell) -> Record:
    """Run one fine-tune and return its record; what fails is recorded, too, never raised.

    Example of a record (shortened):
        {"id": "9f...", "target_accuracy": 0.61, "diverged": false, "error": null, ...}
    """
    settings = {
        "id": cell.id,
        "task_seed": cell.task_seed,
        "seed": cell.seed,
        "base_lr_factor": cell.base_lr_factor,
    }
    try:
        return settings | {"error": None} | measure(cell)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        return settings | {"error": reason, "traceback": traceback.format_exc()}


def measure(cell: Cell) -> Record:
    """Fine-tune, and measure on the way and at the end."""
    from l2o.envs.choice import build_policy
    from l2o.envs.finetuning import FineTune

    began = time.perf_counter()
    task = load_task(cell.task.model_dump_json(), cell.task_seed)
    base_lr = task.base_lr * cell.base_lr_factor
    run = FineTune(
        task,
        cell.finetuning,
        policy=build_policy(cell.choice, cell.finetuning.interval),
        base_lr=base_lr,
        seed=cell.seed,
        validate=cell.choice.early_stopping is not None,
    )
    curve: list[Record] = []
    for stop in stops(run.steps, cell.evaluations):
        run.advance(stop - run.step)
        curve.append(_point(run))
        if run.done or run.diverged:
            break
    last = curve[-1]
    return {
        "target_accuracy": last["target_accuracy"],
        "proxy_accuracy": finite(run.proxy_accuracy()),
        "source_accuracy": last["source_accuracy"],
        "source_validation_loss": last["loss"],
        "diverged": bool(run.diverged) or last["loss"] is None,
        "chance": 1.0 / task.num_classes,
        "steps": run.steps,
        "seconds": round(time.perf_counter() - began, 3),
        "curve": curve,
        "learning_rates": _learning_rates(run, base_lr),
    }


def stops(steps: int, evaluations: int) -> list[int]:
    """Return the steps at which the curve is measured: evenly spread, the end included.

    Example:
        >>> stops(300, 4)
        [75, 150, 225, 300]
    """
    return sorted({max(1, round(steps * i / evaluations)) for i in range(1, evaluations + 1)})


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


def _point(run: Any) -> Record:
    return {
        "step": run.step,
        "target_accuracy": finite(run.accuracy("target_test")),
        "source_accuracy": finite(run.accuracy("source_validation")),
        "proxy_kl": finite(run.last_proxy_kl),
        "loss": finite(run.loss("source_validation")),
    }


def _learning_rates(run: Any, base_lr: float) -> Record:
    history = run.controller.history
    return {
        "step": [record.step for record in history],
        "groups": [group.name for group in run.controller.groups],
        "multipliers": [[_short(m) for m in record.multipliers] for record in history],
        "base_lr": base_lr,
    }


def _short(value: float) -> float | None:
    return float(f"{float(value):.4g}") if math.isfinite(value) else None
