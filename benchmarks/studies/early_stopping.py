"""What ASHA saves over running a grid to the end, task by task."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from l2o.benchmarks.statistics import Estimate
from l2o.benchmarks.studies.base import Study
from l2o.benchmarks.studies.options import FineTuneConfig, Json, Out, Overrides, count
from l2o.configs.load import check_config
from l2o.configs.overrides import parse_override
from l2o.configs.tune import TuneConfig
from l2o.extras import require

RESAMPLES = 2000


@dataclass(frozen=True)
class Task:
    """A task's searches: the steps of each, and what the chosen fine-tune reached."""

    task: int
    grid_steps: int
    asha_steps: int
    ratio: float
    same_choice: bool
    grid_source: float
    asha_source: float
    grid_target: float
    asha_target: float


@dataclass(frozen=True)
class Answer:
    """Tasks, the mean ratio of steps with its interval, and how often both chose the same."""

    rows: Sequence[Task]
    ratio: float
    low: float
    high: float
    regret: float


@dataclass(frozen=True, kw_only=True)
class EarlyStopping(Study[Answer]):
    """Search over the same settings by a grid and by ASHA, on held-out tasks.

    Settings are schedules x profiles x base learning rates. ASHA goes over what the grid computed,
    from nothing but its reports: both see the very same fine-tunes.
    """

    examples = (
        "l2o study early-stopping --tasks 5 --json early-stopping.json",
        "l2o study early-stopping garments task.options.size=32 --tasks 2 --steps 60",
    )
    title = "ASHA against a grid"
    columns = {
        "task": lambda row: str(row.task),
        "steps, grid": lambda row: str(row.grid_steps),
        "steps, ASHA": lambda row: str(row.asha_steps),
        "ratio": lambda row: f"{row.ratio:.2f}",
        "same choice": lambda row: "yes" if row.same_choice else "no",
        "source, grid": lambda row: f"{row.grid_source:.1%}",
        "source, ASHA": lambda row: f"{row.asha_source:.1%}",
        "target, grid": lambda row: f"{row.grid_target:.1%}",
        "target, ASHA": lambda row: f"{row.asha_target:.1%}",
    }
    config: FineTuneConfig = "digits"
    overrides: Overrides = ()
    tasks: Annotated[int, count("Held-out tasks.")] = 5
    steps: Annotated[int, count("Optimizer steps of a fine-tune.")] = 150
    base_lrs: Annotated[int, count("Base learning rates, from 1e-3 to 0.3.")] = 4
    out: Out | None = None
    json: Json = None

    def answer(self) -> Answer:
        """Search on each task, both ways."""
        require("l2o study early-stopping", "ray", extra="ray")
        with tempfile.TemporaryDirectory() as name:
            rows = [self._task(Path(self.out or name), task) for task in range(self.tasks)]
        ratios = np.array([row.ratio for row in rows])
        generator = np.random.default_rng(0)
        drawn = generator.choice(ratios, (RESAMPLES, len(ratios))).mean(1)
        low, high = np.quantile(drawn, [0.025, 0.975])
        regret = float(np.mean([row.grid_source - row.asha_source for row in rows]))
        return Answer(rows, float(ratios.mean()), float(low), float(high), regret)

    def show(self, answer: Answer) -> None:
        """Print the tasks, and the mean."""
        super().show(answer)
        told = Estimate(answer.ratio, answer.low, answer.high)
        print(
            f"ASHA took {told.value:.2f} [{told.low:.2f}, {told.high:.2f}] of the grid's steps; on "
            f"source validation {100 * answer.regret:.2f} points were lost"
        )

    def _task(self, out: Path, task: int) -> Task:
        from l2o.benchmarks.tuning.run import run_search

        grid = run_search(self._config(task, "fifo"), out / f"{task}-grid", progress=False)
        shutil.copytree(out / f"{task}-grid" / "trials", out / f"{task}-asha" / "trials")
        asha = run_search(self._config(task, "asha"), out / f"{task}-asha", progress=False)
        assert grid.best is not None
        assert asha.best is not None
        last, first = grid.best.reports[-1], asha.best.reports[-1]
        metric = "source_validation_accuracy"
        return Task(
            task,
            grid.steps,
            asha.steps,
            asha.steps / grid.steps,
            grid.best.params == asha.best.params,
            last[metric],
            first[metric],
            last["target_accuracy"],
            first["target_accuracy"],
        )

    def _changes(self) -> dict[str, Any]:
        parsed = [parse_override(each) for each in self.overrides]
        return {".".join(keys): value for keys, value in parsed}

    def _config(self, task: int, scheduler: str) -> TuneConfig:
        rates = [float(f"{rate:.3g}") for rate in np.geomspace(1e-3, 0.3, self.base_lrs)]
        search: Mapping[str, object] = {
            "base_lr": {"choice": rates},
            "choice.schedule": {"choice": ["constant", "cosine"]},
            "choice.profile": {"choice": ["flat", "small_backbone"]},
        }
        given = {
            "config": self.config,
            "changes": {"task_seed": task, "finetuning.steps": self.steps, **self._changes()},
            "search": search,
            "searcher": "grid",
            "scheduler": scheduler,
        }
        return check_config(TuneConfig, given, "the study")
