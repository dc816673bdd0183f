"""Policies side by side on the same drawn episodes of the meta-training split.

l2o study drawn_episodes asg-base runs/mine --by pretrain_steps --json runs/drawn.json

For choosing among policies before anything held out is looked at: tasks, networks, base LRs and
optimizers are drawn as a training config draws them, on networks and tasks that its training never
sees. Evaluation while learning sees the first of these episodes, so these begin after them.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from l2o.benchmarks.cells.episode_scores import FIRST_EPISODE, seen_by
from l2o.benchmarks.statistics import CROSSED, estimate, mean
from l2o.configs.load import load_config
from l2o.configs.schema import TrainConfig
from l2o.deciding.bundle import load_policy, read_card
from l2o.deciding.learned import LearnedPolicy
from l2o.envs.build import build
from l2o.envs.episode_rules import TASK_SEEDS
from l2o.envs.runtime.interrupts import deferred_interrupts
from l2o.envs.tasks import TASKS
from l2o.files.seals import write_json
from l2o.files.streams import forgive_encodings
from l2o.policies.common.evaluation import Evaluator, evaluation_task

RESAMPLES = 2000


def run(
    names: Sequence[str], config: TrainConfig, episodes: int, by: str | None
) -> list[dict[str, Any]]:
    """Return a row per policy and part of the episodes.

    Args:
        names: of shipped policies, or folders; the first is what the others are compared with.
        config: how episodes are drawn.
        episodes: how many.
        by: property of a task's description that parts them; None for no parts.

    Raises:
        ValueError: a policy that is not learned, a held-out family, or a property that tasks lack.
    """
    named = evaluation_task(config)
    if named.options.get("split", "train") != "train":
        raise ValueError(f"split={named.options['split']!r} is not looked at here; use split=train")
    policies = {name: _learned(name) for name in names}
    numbers = range(FIRST_EPISODE, FIRST_EPISODE + episodes)
    family = build("task", TASKS, named)
    # Here, once: each worker would pretrain what it misses.
    family.prepare()
    parts = {"all": np.ones(episodes, bool)}
    if by is not None:
        parts |= _parted(by, [family.sample(TASK_SEEDS + n).description for n in numbers])
    with deferred_interrupts(), closing(Evaluator(config)) as evaluator:
        found = {
            name: np.array([each.accuracy for each in evaluator.drawn(policy, numbers, seen)])
            for name, policy in policies.items()
            for seen in [seen_by(policy, config, _told_validation(name))]
        }
    first = found[names[0]]
    return [
        {"part": part, "episodes": int(mask.sum())} | _told(name, own[mask], first[mask])
        for part, mask in parts.items()
        for name, own in found.items()
    ]


def _learned(name: str) -> LearnedPolicy:
    policy = load_policy(name)
    if not isinstance(policy, LearnedPolicy):
        raise ValueError(f"{name} is not a learned policy")
    return policy


def _told_validation(name: str) -> bool:
    """Return whether a policy was told the source validation loss while it learned, by its card."""
    learned = read_card(name).get("config") or {}
    return bool((learned.get("environment") or {}).get("validation", False))


def _parted(by: str, described: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """Return which episodes' tasks have each value of a property."""
    if lacking := [each for each in described if by not in each]:
        raise ValueError(f"tasks have no {by!r}; they have {', '.join(sorted(lacking[0]))}")
    values = np.array([str(each[by]) for each in described])
    return {f"{by}={value}": values == value for value in dict.fromkeys(values.tolist())}


def _told(name: str, own: np.ndarray, first: np.ndarray) -> dict[str, Any]:
    return {
        "policy": name,
        "accuracy": estimate(own[None], mean, CROSSED, resamples=RESAMPLES).to_json(),
        "difference": estimate((own - first)[None], mean, CROSSED, resamples=RESAMPLES).to_json(),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    forgive_encodings()
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("policies", nargs="+", help="names or folders")
    parser.add_argument("--config", default="asg-base", help="train preset, or a run's config.yaml")
    parser.add_argument("--episodes", type=int, default=96)
    parser.add_argument("--by", help="property of tasks that parts the rows, as pretrain_steps")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)
    if given.episodes < 2:
        parser.error(f"--episodes must be 2 or more, got {given.episodes}: an interval needs two")
    try:
        config = load_config("train", given.config)
        rows = run(given.policies, config, given.episodes, given.by)
    except ValueError as error:
        parser.error(str(error))
    for row in rows:
        spans = "   ".join(_span(row[key]) for key in ("accuracy", "difference"))
        print(f"{row['part']:24} {row['episodes']:4} {row['policy']:24} {spans}")
    if given.json is not None:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        write_json(given.json, {"episodes": given.episodes, "rows": rows})


def _span(told: dict[str, Any]) -> str:
    if told["low"] is None:
        return f"{100 * told['value']:5.1f}"
    value, low, high = (100 * told[key] for key in ("value", "low", "high"))
    return f"{value:5.1f} [{low:5.1f}, {high:5.1f}]"


if __name__ == "__main__":
    main()
