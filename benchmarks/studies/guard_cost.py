"""What a controller's guard costs policies, on the tasks of the zero-shot comparison."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, ClassVar

import numpy as np

from l2o.benchmarks.cells.cell import load_task
from l2o.benchmarks.comparisons.zero_shot.plan import task_of
from l2o.benchmarks.report.tables import Table, points, short
from l2o.benchmarks.statistics import CROSSED, Array, Estimate, estimate, mean
from l2o.benchmarks.studies.base import KeptStudy
from l2o.benchmarks.studies.options import Json, Workers, count, names
from l2o.configs.load import load_config
from l2o.configs.zero_shot import ZeroShotConfig
from l2o.deciding.by_name import load_policy
from l2o.envs.fine_tuning.fine_tune import FineTune
from l2o.guarding.guard import Guard


@dataclass(frozen=True)
class Run:
    """One pair of fine-tunes: family and task of the comparison, factor on the base LR, policy."""

    family: str
    seed: int
    factor: float
    policy: str


@dataclass(frozen=True)
class Pair(Run):
    """Target accuracy of a fine-tune without a guard and with one, and how often it acted."""

    without: float
    guarded: float
    interventions: int


@dataclass(frozen=True)
class Row:
    """A policy at the family's base LR ("default"), or over all base LRs; tasks are resampled."""

    policy: str
    base_lr: str
    tasks: int
    without: float
    guarded: float
    difference: Estimate
    interventions: int


@dataclass(frozen=True)
class Answer:
    """Rows, and the pairs that they sum up."""

    summary: Sequence[Row]
    runs: Sequence[Pair]


@dataclass(frozen=True, kw_only=True)
class GuardCost(KeptStudy[Run, Pair, Answer]):
    """What a controller's guard costs policies, on the tasks of the zero-shot comparison.

    The comparison runs policies without a guard, so that it compares policies and not rescues; in a
    user's loop the guard is on. Here every fine-tune runs both ways, on the same batches from the
    same head. Such runs are not stacked: some eight minutes for four tasks of each family, on two
    cores.
    """

    examples = ("l2o study guard-cost --tasks 4 --json guarded.json",)
    title = "What the guard costs"
    columns = {
        "policy": lambda row: row.policy,
        "base LR": lambda row: row.base_lr,
        "tasks": lambda row: str(row.tasks),
        "without": lambda row: short(row.without),
        "with": lambda row: short(row.guarded),
        "difference": lambda row: points(row.difference),
        "interventions": lambda row: str(row.interventions),
    }
    record: ClassVar[type[Pair]] = Pair
    policies: Annotated[tuple[str, ...], names("Names, or folders.")] = (
        *("asg-base", "asg-lite", "asg-wide"),
    )
    tasks: Annotated[int, count("Tasks of each family.")] = 4
    workers: Workers = 2
    json: Json = None

    def plan(self) -> list[Run]:
        """Return all pairs, task by task."""
        return [
            Run(family, seed, factor, policy)
            for family in _config().families
            for seed in range(self.tasks)
            for policy in self.policies
            for factor in _config().base_lr_factors
        ]

    def run(self, piece: Run) -> Pair:
        """Fine-tune without and with a guard."""
        family, accuracies = _config().families[piece.family], []
        task = load_task(task_of(family).model_dump_json(), piece.seed)
        for guard in (None, Guard()):
            tune = FineTune(
                task,
                family.finetuning,
                policy=load_policy(piece.policy),
                base_lr=piece.factor * task.base_lr,
                seed=0,
                guard=guard,
            )
            tune.advance(tune.steps)
            accuracies.append(tune.scores("target_test")[tune.objective.main])
        interventions = sum(tune.controller.report()["interventions"].values())
        return Pair(
            **vars(piece), without=accuracies[0], guarded=accuracies[1], interventions=interventions
        )

    def summarise(self, found: Sequence[Pair]) -> Answer:
        """Return a row per policy at the family's base LR, and one in the mean over all of them."""
        rows = []
        for policy in dict.fromkeys(pair.policy for pair in found):
            own = [pair for pair in found if pair.policy == policy]
            default = [pair for pair in own if pair.factor == 1.0]
            rows += [_row(policy, "default", default), _row(policy, "all", own)]
        return Answer(rows, found)

    def tables(self, answer: Answer) -> list[Table]:
        """Return the rows."""
        return [Table.of(self.title, answer.summary, self.columns)]


def _row(policy: str, base_lr: str, pairs: Sequence[Pair]) -> Row:
    without = _by_task(pairs, (pair.without for pair in pairs))
    guarded = _by_task(pairs, (pair.guarded for pair in pairs))
    difference = estimate((guarded - without)[None], mean, CROSSED)
    means = float(without.mean()), float(guarded.mean())
    acted = sum(pair.interventions for pair in pairs)
    return Row(policy, base_lr, len(without), *means, difference, acted)


def _by_task(pairs: Sequence[Pair], values: Iterable[float]) -> Array:
    tasks: dict[tuple[str, int], list[float]] = {}
    for pair, value in zip(pairs, values, strict=True):
        tasks.setdefault((pair.family, pair.seed), []).append(value)
    return np.array([np.mean(each) for each in tasks.values()])


@lru_cache(maxsize=1)
def _config() -> ZeroShotConfig:
    config = load_config("benchmark", "zero-shot")
    assert isinstance(config, ZeroShotConfig)
    return config
