"""Policies side by side on the same drawn episodes of the meta-training split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np

from l2o.benchmarks.cells.episode_scores import FIRST_EPISODE, seen_by
from l2o.benchmarks.report.tables import percent, points
from l2o.benchmarks.statistics import CROSSED, Array, Estimate, estimate, mean
from l2o.benchmarks.studies.base import Study
from l2o.benchmarks.studies.options import Json, PolicyNames, count, text
from l2o.configs.load import load_policy_training
from l2o.configs.schema import TrainConfig
from l2o.deciding.bundle import read_card
from l2o.deciding.by_name import load_policy
from l2o.deciding.learned import LearnedPolicy
from l2o.envs.episode_rules import TASK_SEEDS
from l2o.envs.runtime.interrupts import deferred_interrupts
from l2o.envs.tasks.build import build_task
from l2o.policies.common.evaluation import Evaluator, evaluation_task


@dataclass(frozen=True)
class Row:
    """One policy on one part of the episodes; `difference` is to the first policy."""

    part: str
    episodes: int
    policy: str
    accuracy: Estimate
    difference: Estimate


@dataclass(frozen=True, kw_only=True)
class DrawnEpisodes(Study[Sequence[Row]]):
    """Compare policies on the same drawn episodes of the meta-training split.

    For choosing among policies before anything held out is looked at: tasks, networks, base LRs and
    optimizers are drawn as a training config draws them, on networks and tasks that its training
    never sees. Evaluation while learning sees the first of these episodes, so these begin after
    them. The first policy is what the others are compared with.
    """

    examples = ("l2o study drawn-episodes asg-base runs/mine --by pretrain_steps",)
    title = "Drawn episodes"
    columns = {
        "part": lambda row: row.part,
        "episodes": lambda row: str(row.episodes),
        "policy": lambda row: row.policy,
        "target accuracy": lambda row: percent(row.accuracy),
        "against the first": lambda row: points(row.difference),
    }
    policies: PolicyNames
    config: Annotated[str, text("Preset, or a run's config.yaml.")] = "asg-base"
    episodes: Annotated[int, count("How many; an interval needs two.", 2)] = 96
    by: Annotated[str | None, text("Property of tasks that parts the rows, as pretrain_steps.")] = (
        None
    )
    json: Json = None

    def answer(self) -> list[Row]:
        """Return a row per policy and part of the episodes.

        Raises:
            ValueError: a policy that is not learned, a held-out family, or a property that tasks
                lack.
        """
        return self.compare(load_policy_training(self.config))

    def compare(self, config: TrainConfig) -> list[Row]:
        """Return the rows, of episodes that are drawn as a config says."""
        named = evaluation_task(config)
        if (split := named.options.get("split", "train")) != "train":
            raise ValueError(f"split={split!r} is not looked at here; use split=train")
        policies = {name: _learned(name) for name in self.policies}
        numbers = range(FIRST_EPISODE, FIRST_EPISODE + self.episodes)
        family = build_task(named)
        # Here, once: each worker would pretrain what it misses.
        family.prepare()
        parts = {"all": np.ones(self.episodes, bool)}
        if self.by is not None:
            described = [family.sample(TASK_SEEDS + number).description for number in numbers]
            parts |= _parted(self.by, described)
        found: dict[str, Array] = {}
        with deferred_interrupts(), closing(Evaluator(config)) as evaluator:
            for name, policy in policies.items():
                seen = seen_by(policy, config, _told_validation(name))
                ended = evaluator.drawn(policy, numbers, seen)
                found[name] = np.array([each.accuracy for each in ended])
        first = found[self.policies[0]]
        return [
            Row(part, int(mask.sum()), name, *map(_mean, (own[mask], (own - first)[mask])))
            for part, mask in parts.items()
            for name, own in found.items()
        ]


def _mean(scores: Array) -> Estimate:
    return estimate(scores[None], mean, CROSSED)


def _learned(name: str) -> LearnedPolicy:
    policy = load_policy(name)
    if not isinstance(policy, LearnedPolicy):
        raise ValueError(f"{name} is not a learned policy")
    return policy


def _told_validation(name: str) -> bool:
    """Return whether a policy was told the source validation loss while it learned, by its card."""
    learned = read_card(name).get("config") or {}
    return bool((learned.get("environment") or {}).get("validation", False))


def _parted(by: str, described: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return which episodes' tasks have each value of a property."""
    if lacking := [each for each in described if by not in each]:
        raise ValueError(f"tasks have no {by!r}; they have {', '.join(sorted(lacking[0]))}")
    values = np.array([str(each[by]) for each in described])
    return {f"{by}={value}": values == value for value in dict.fromkeys(values.tolist())}
