"""Scoring distributions on a task's test images, with images that no search has drawn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from l2o.envs.runtime.executor import Executor
from l2o.envs.simulators.distributions import PointDistribution
from l2o.envs.simulators.learning.setting import Setting, Trial
from l2o.envs.simulators.learning.trials import run_trials

SPLITS = ("target_test", "target_validation")
_PURPOSE = 1
"""Of random streams: evaluation draws no image that a trial was learned from."""


def evaluate(
    setting: Setting,
    distributions: Mapping[str, PointDistribution],
    count: int,
    seed: int,
    executor: Executor,
) -> dict[str, Any]:
    """Return, by name, what fine-tunes on each distribution score, `count` of each.

    All distributions are scored with the same seeds of heads, batches and images. A fine-tune that
    fails counts as the metric at chance.

    Returns:
        name -> `metric`, `target_test` and `target_validation` (a value per fine-tune), their means
        `mean` and `validation_mean`, and `failed`.
    """
    plains = {name: each.to_plain() for name, each in distributions.items()}
    distinct: list[Mapping[str, Any]] = []
    for plain in plains.values():
        if plain not in distinct:  # a search that begins at all of the space begins at a rival
            distinct.append(plain)
    trials = [
        Trial(number, plain, trial_seed(seed, number % count, purpose=_PURPOSE), splits=SPLITS)
        for number, plain in enumerate(each for each in distinct for _ in range(count))
    ]
    if not trials:
        return {}
    metric = setting.base_task.build_objectives()[0].metric()
    found = list(run_trials(setting, trials, executor))
    chance = metric.chance or 0.0
    scored: dict[str, Any] = {}
    for name, plain in plains.items():
        place = distinct.index(plain)
        mine = found[place * count : (place + 1) * count]
        values = {
            split: [_value(r.scores.get(split, {}).get(metric.name), chance) for r in mine]
            for split in SPLITS
        }
        scored[name] = {
            "metric": metric.name,
            **values,
            "mean": float(np.mean(values["target_test"])),
            "validation_mean": float(np.mean(values["target_validation"])),
            "failed": sum(bool(result.error) for result in mine),
        }
    return scored


def _value(value: float | None, chance: float) -> float:
    return chance if value is None or not np.isfinite(value) else value


def trial_seed(seed: int, number: int, purpose: int = 0) -> int:
    """Return what a trial draws from; of another purpose, other images."""
    entropy = np.random.SeedSequence([seed, purpose, number])
    return int(entropy.generate_state(1, np.uint32)[0])
