"""What a controller's guard costs shipped policies, on the tasks of the zero-shot comparison.

python -m l2o.benchmarks.studies.guard_cost --tasks 4 --json runs/guarded.json

The comparison runs policies without a guard, so that it compares policies and not rescues; in a
user's loop the guard is on. Here every fine-tune runs both ways, on the same batches from the same
head. Such runs are not stacked: some eight minutes for four tasks of each family, on two cores.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from l2o.benchmarks.comparisons.ablation.intervals import estimate_mean
from l2o.benchmarks.comparisons.zero_shot.plan import task_of
from l2o.configs.load import load_config
from l2o.configs.zero_shot import ZeroShotConfig
from l2o.deciding.bundle import load_policy
from l2o.envs.build import build
from l2o.envs.fine_tune import FineTune
from l2o.envs.runtime.executor import Processes, in_order
from l2o.envs.tasks import TASKS
from l2o.envs.tasks.base import Task
from l2o.files.seals import write_json
from l2o.files.streams import forgive_encodings
from l2o.guarding.guard import Guard

RESAMPLES = 2000
POLICIES = ("asg-base", "asg-lite", "asg-wide")


@dataclass(frozen=True)
class Run:
    """One pair of fine-tunes.

    Attributes:
        family: of the zero-shot comparison.
        seed: of the task.
        factor: on the family's base learning rate.
        policy: the name of a shipped one.
    """

    family: str
    seed: int
    factor: float
    policy: str


def plan(config: ZeroShotConfig, tasks: int, policies: Sequence[str]) -> Iterator[Run]:
    """Yield all pairs, task by task."""
    for family in config.families:
        for seed in range(tasks):
            for policy in policies:
                for factor in config.base_lr_factors:
                    yield Run(family, seed, factor, policy)


def measure(run: Run) -> dict[str, Any]:
    """Fine-tune without and with a guard; return both target accuracies and what the guard did."""
    config = _config()
    family = config.families[run.family]
    task = _task(run.family, run.seed)
    found: dict[str, Any] = {}
    for name, guard in (("without", None), ("with", Guard())):
        fine_tune = FineTune(
            task,
            family.finetuning,
            policy=load_policy(run.policy),
            base_lr=run.factor * task.base_lr,
            seed=0,
            guard=guard,
        )
        fine_tune.advance(fine_tune.steps)
        found[name] = fine_tune.scores("target_test")[fine_tune.objective.main]
        found["interventions"] = sum(fine_tune.controller.report()["interventions"].values())
    return {**vars(run), **found}


def measure_all(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Measure several pairs, one after another."""
    return [measure(run) for run in runs]


@lru_cache(maxsize=1)
def _config() -> ZeroShotConfig:
    config = load_config("benchmark", "zero-shot")
    assert isinstance(config, ZeroShotConfig)
    return config


@lru_cache(maxsize=2)
def _task(family: str, seed: int) -> Task:
    found = build("task", TASKS, task_of(_config().families[family]))
    return found.sample(seed)


def summarise(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a row per policy: accuracies and paired differences, tasks resampled.

    At the base LR of the family, and in the mean over all of them.
    """
    told = []
    for policy in dict.fromkeys(row["policy"] for row in rows):
        for which in ("default", "all"):
            chosen = [
                row
                for row in rows
                if row["policy"] == policy and (which == "all" or row["factor"] == 1.0)
            ]
            without, guarded = (_by_task(chosen, name) for name in ("without", "with"))
            told.append(
                {
                    "policy": policy,
                    "base_lr": which,
                    "tasks": len(without),
                    "without": float(without.mean()),
                    "with": float(guarded.mean()),
                    "difference": estimate_mean((guarded - without)[None], RESAMPLES).to_json(),
                    "interventions": sum(row["interventions"] for row in chosen),
                }
            )
    return told


def _by_task(rows: Sequence[dict[str, Any]], name: str) -> np.ndarray:
    tasks: dict[tuple[str, int], list[float]] = {}
    for row in rows:
        tasks.setdefault((row["family"], row["seed"]), []).append(row[name])
    return np.array([np.mean(values) for values in tasks.values()])


def main(arguments: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    forgive_encodings()
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--policies", nargs="+", default=list(POLICIES))
    parser.add_argument("--tasks", type=int, default=4, help="tasks of each family")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)
    if min(given.tasks, given.workers) < 1:
        parser.error("--tasks and --workers must be 1 or more")
    runs = list(plan(_config(), given.tasks, given.policies))
    at_once = len(_config().base_lr_factors)
    # Those of one task to one process, which samples it once.
    parts = [runs[first : first + at_once] for first in range(0, len(runs), at_once)]
    with Processes(given.workers) as executor:
        rows = [row for part in in_order(executor.map(measure_all, parts)) for row in part]
    told = summarise(rows)
    for row in told:
        span = " ".join(f"{100 * row['difference'][key]:+.1f}" for key in ("value", "low", "high"))
        print(
            f"{row['policy']:12} base LR {row['base_lr']:8} {row['tasks']:3} tasks  "
            f"without {100 * row['without']:5.1f}  with {100 * row['with']:5.1f}  "
            f"difference, low, high {span}  interventions {row['interventions']}"
        )
    if given.json is not None:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        write_json(given.json, {"summary": told, "runs": rows})


if __name__ == "__main__":
    main()
