"""What is suggested after short runs, against taking one thing always, task by task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import numpy as np

from l2o.benchmarks.report.tables import points
from l2o.benchmarks.statistics import TASKS, Estimate, estimate, mean
from l2o.benchmarks.studies.base import Columns, KeptStudy
from l2o.benchmarks.studies.options import Json, Seed, count, text
from l2o.benchmarks.suggesting import TaskTrials, fine_tune
from l2o.configs.choice import PolicyChoice
from l2o.configs.finetune import FinetuneConfig
from l2o.configs.schema import FineTuning, Named
from l2o.control.suggesting.candidates import CANDIDATES
from l2o.control.suggesting.suggest import suggest_from
from l2o.envs.episode_rules import TASK_SEEDS
from l2o.envs.fine_tuning.inner_loop import InnerLoop
from l2o.envs.policy_choice import build_policy

OPTIMIZERS = ("sgd", "adamw")
RATES = {"sgd": (1e-3, 1e-1), "adamw": (1e-4, 1e-2)}
"""Base learning rates are drawn between these, evenly in their logarithm."""
MAIN = "accuracy"


@dataclass(frozen=True)
class Found:
    """What came of one task.

    Attributes:
        task: its number.
        facts: what it is made of.
        suggested: name of a candidate.
        best_short: name of the candidate with the best short run.
        little: whether the linear probe said that pretraining has little to give.
        gap: accuracy of the probe of pretrained features less that of shuffled weights.
        target: accuracy on the target of each candidate's whole run.
    """

    task: int
    facts: dict[str, str]
    suggested: str
    best_short: str
    little: bool
    gap: float
    target: dict[str, float]


@dataclass(frozen=True)
class Row:
    """One thing for all tasks, and how far the suggested ones are above it."""

    what: str
    target: float
    above: Estimate


@dataclass(frozen=True)
class Answer:
    """Rows, and the tasks that they rest on."""

    rows: Sequence[Row]
    found: Sequence[Found]


@dataclass(frozen=True, kw_only=True)
class Suggestions(KeptStudy[int, Found, Answer]):
    """What `l2o suggest` picks, against taking one candidate always.

    Each task is drawn with its optimizer and a base learning rate. It is suggested for after short
    runs, then fine-tuned in full under every candidate, and scored on the target.
    """

    examples = ("l2o study suggestions --tasks 40 --out kept --json suggestions.json",)
    record = Found
    title = "Target accuracy: the suggested candidate against one for all tasks"
    columns: ClassVar[Columns] = {
        "for all tasks": lambda row: row.what,
        "target": lambda row: f"{100 * row.target:.1f}",
        "suggested is above by": lambda row: points(row.above),
    }

    family: Annotated[str, text("Family of tasks.")] = "composed"
    split: Annotated[str, text("Split of it.")] = "validation"
    tasks: Annotated[int, count("Tasks.")] = 40
    steps: Annotated[int, count("Steps of a short run.", 2)] = 60
    seed: Seed = 0
    json: Json = None

    def plan(self) -> Sequence[int]:
        """Return the numbers of the tasks."""
        return range(self.tasks)

    def run(self, piece: int) -> Found:
        """Suggest for a task, and fine-tune it under every candidate."""
        config = self._config(piece).in_full()
        trials = TaskTrials(config, self.steps)
        found = suggest_from(trials, CANDIDATES.values())
        ran = [row.tried for row in found.ranked]
        probe = found.pretraining
        facts = trials.task.description
        return Found(
            task=piece,
            facts={k: str(facts.get(k)) for k in ("kind", "pretraining", "architecture")},
            suggested=found.name,
            best_short=max(ran, key=lambda each: each.score).name,
            little=probe is not None and probe.little,
            gap=float("nan") if probe is None else probe.pretrained - probe.shuffled,
            target={name: self._whole(trials, name) for name in CANDIDATES},
        )

    def _config(self, number: int) -> FinetuneConfig:
        drawn = np.random.default_rng([self.seed, number])
        optimizer = OPTIMIZERS[int(drawn.integers(len(OPTIMIZERS)))]
        low, high = np.log10(RATES[optimizer])
        return FinetuneConfig(
            task=Named(name=self.family, options={"split": self.split}),
            task_seed=int(drawn.integers(TASK_SEEDS)),
            seed=number,
            base_lr=float(10 ** drawn.uniform(low, high)),
            finetuning=FineTuning(optimizer=Named(name=optimizer)),
        )

    def _whole(self, trials: TaskTrials, name: str) -> float:
        """Return the accuracy on the target after the whole of a training under a candidate."""
        config = trials.config
        loop = replace(InnerLoop.of(config.finetuning), steps=trials.length)
        policy = build_policy(PolicyChoice(**CANDIDATES[name].choice), loop.interval)
        run = fine_tune(trials.task, config, loop, policy)
        run.advance(run.steps)
        return run.scores("target_test")[MAIN]

    def summarise(self, found: Sequence[Found]) -> Answer:
        """Return what the suggested ones reach, and each candidate alone."""
        taken = np.array([each.target[each.suggested] for each in found])
        best = np.array([each.target[each.best_short] for each in found])
        oracle = np.array([max(each.target.values()) for each in found])
        rows = [Row("suggested", float(taken.mean()), _estimate(taken - taken))]
        others = {"best short run": best, "best of each task, by its target": oracle}
        others |= {name: np.array([each.target[name] for each in found]) for name in CANDIDATES}
        rows += [Row(what, float(of.mean()), _estimate(taken - of)) for what, of in others.items()]
        return Answer(rows, found)


def _estimate(gains: np.ndarray) -> Estimate:
    return estimate(gains[None], mean, TASKS)
