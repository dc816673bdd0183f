"""A policy's one fine-tune against what Ray Tune finds with many, task by task."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from l2o.benchmarks.studies.base import Study
from l2o.benchmarks.studies.options import Json, count
from l2o.configs.load import check_config, load_config
from l2o.configs.schema import Strict
from l2o.configs.tune import TuneConfig
from l2o.extras import require

RESAMPLES = 2000
SEARCH: Mapping[str, Any] = {
    "base_lr": {"loguniform": [1e-4, 1.0]},
    "choice.schedule": {"choice": ["constant", "cosine", "one_cycle"]},
    "choice.profile": {"choice": ["flat", "small_backbone", "layerwise_decay"]},
}
"""What ASHA searches: the grid's own schedules and profiles, and any base learning rate."""
RANGE = {"loguniform": [1e-3, 10.0]}
"""What PBT draws the multiplier of a layer from."""


@dataclass(frozen=True)
class Run:
    """What a contender reached on a task: on the target, and what it took."""

    contender: str
    task: int
    target: float
    fine_tunes: int
    steps: int
    seconds: float


@dataclass(frozen=True)
class Row:
    """A contender over all tasks, with the interval of its mean."""

    contender: str
    target: float
    low: float
    high: float
    steps: float
    seconds: float


@dataclass(frozen=True)
class Answer:
    """Contenders, and the runs that they rest on."""

    rows: Sequence[Row]
    runs: Sequence[Run]


@dataclass(frozen=True, kw_only=True)
class TunedRivals(Study[Answer]):
    """Fine-tune once under a policy, and search by Ray Tune with so many fine-tunes.

    ASHA searches schedules, profiles and base learning rates; PBT moves a learning rate for each
    layer, on the way. Both choose by source validation, with --trials fine-tunes; ASHA, too, in
    --minutes of wall clock. What is compared is accuracy on the target.
    """

    examples = ("l2o study tuned-rivals asg-base --config garments --tasks 10 --json rivals.json",)
    title = "Against Ray Tune"
    columns = {
        "": lambda row: row.contender,
        "target": lambda row: f"{row.target:.1%} [{row.low:.1%}, {row.high:.1%}]",
        "steps a task": lambda row: f"{row.steps:.0f}",
        "seconds a task": lambda row: f"{row.seconds:.0f}",
    }
    policy: Annotated[str, typer.Argument(metavar="POLICY", help="A policy's name.")] = "asg-base"
    config: Annotated[str, typer.Option(metavar="CONFIG", help="Of l2o finetune.")] = "digits"
    tasks: Annotated[int, count("Held-out tasks.")] = 5
    trials: Annotated[int, count("Fine-tunes of a search.")] = 48
    steps: Annotated[int | None, count("Steps of a fine-tune; the task's if not given.")] = None
    minutes: Annotated[
        float | None, typer.Option(metavar="N", help="Wall clock of one more search by ASHA.")
    ] = None
    json: Json = None

    def answer(self) -> Answer:
        """Run all contenders on each task."""
        require("l2o study tuned-rivals", "ray", extra="ray")
        runs = [run for task in range(self.tasks) for run in self._runs(task)]
        names = list(dict.fromkeys(run.contender for run in runs))
        return Answer(
            [_row(name, [r for r in runs if r.contender == name]) for name in names], runs
        )

    def _runs(self, task: int) -> Iterator[Run]:
        from l2o.benchmarks.tuning.fine_tunes import FineTuneTrial

        base = self._base(task)
        chosen = base.model_copy(update={"choice": type(base.choice)(policy=self.policy)})
        began = time.perf_counter()
        trial = FineTuneTrial(chosen, reports=1)
        told = list(trial.steps())[-1]
        spent = time.perf_counter() - began
        yield Run(self.policy, task, told["target_accuracy"], 1, trial.length(), spent)
        layers = len(trial.run.controller.groups)
        yield self._search(f"Ray Tune, ASHA, {self.trials} fine-tunes", task, SEARCH, "asha", {})
        if self.minutes is not None:
            name = f"Ray Tune, ASHA, {self.minutes:g} min"
            yield self._search(
                name, task, SEARCH, "asha", {"minutes": self.minutes, "trials": 1000}
            )
        rule = {"name": "constant_layers", "options": {"multipliers": [1.0] * layers}}
        fields = {f"choice.rule.options.multipliers.{each}": RANGE for each in range(layers)}
        name = f"PBT over layer-wise LRs, {self.trials} fine-tunes"
        yield self._search(name, task, fields, "pbt", {}, {"choice": {"rule": rule}})

    def _base(self, task: int) -> Any:
        given = [f"task_seed={task}"]
        given += [] if self.steps is None else [f"finetuning.steps={self.steps}"]
        return load_config("finetune", self.config, given)

    def _search(
        self,
        name: str,
        task: int,
        search: Mapping[str, Any],
        scheduler: str,
        fields: Mapping[str, Any],
        changes: Mapping[str, Any] | None = None,
    ) -> Run:
        from l2o.benchmarks.tuning.run import run_search

        length = {} if self.steps is None else {"finetuning.steps": self.steps}
        given = {
            "config": self.config,
            "changes": {"task_seed": task, **length, **(changes or {})},
            "search": dict(search),
            "scheduler": scheduler,
            "trials": self.trials,
            **fields,
        }
        config: Strict = check_config(TuneConfig, given, "the study")
        assert isinstance(config, TuneConfig)
        with tempfile.TemporaryDirectory() as out:
            found = run_search(config, Path(out), progress=False)
        assert found.best is not None
        target = found.best.reports[-1]["target_accuracy"]
        return Run(name, task, target, len(found.trials), found.steps, found.seconds)


def _row(name: str, runs: Sequence[Run]) -> Row:
    values = np.array([run.target for run in runs])
    drawn = np.random.default_rng(0).choice(values, (RESAMPLES, len(values))).mean(1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    steps, seconds = (float(np.mean([getattr(r, f) for r in runs])) for f in ("steps", "seconds"))
    return Row(name, float(values.mean()), float(low), float(high), steps, seconds)
