"""Cost per training step of each guidance term, relative to plain fine-tuning.

python -m l2o.benchmarks.speed guidance --json guidance.json
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from l2o.benchmarks.cells.machine import machine_facts
from l2o.benchmarks.speed.contenders import FewTasks, numbers_of
from l2o.benchmarks.speed.figures import Figure, publish
from l2o.benchmarks.speed.timing import Times, ratio, time_alternately
from l2o.configs.schema import FineTuning
from l2o.envs.fine_tune import FineTune
from l2o.envs.runtime.device import resolve_device
from l2o.envs.runtime.threads import one_thread
from l2o.envs.tasks import Task

STEPS = 20
"""Training steps per round."""

TERMS: dict[str, dict[str, Any]] = {
    "proxy_kl": {"weight": 0.3},
    "l2_sp": {"weight": 0.1},
    "si": {"weight": 0.1},
    "feature_l2": {"weight": 0.1},
    "contrastive": {
        "weight": 0.1,
        "layers": ["conv4", "fc"],
        "queue": 1024,
        "rectify": True,
        "augment": {"low": -1.0},
    },
}
"""Term -> options, for networks of the digits family."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--widths", type=numbers_of, default=(8, 16), help="for instance 8,16")
    parser.add_argument("--rounds", type=int, default=15, help="times that each is measured")
    parser.add_argument("--json", type=Path, help="file to write the results to")


def run(arguments: argparse.Namespace) -> None:
    """Measure, print, and write the results."""
    results = measure(arguments.device, arguments.widths, arguments.rounds)
    for row in results["rows"]:
        print(
            f"width {row['width']:3} {row['name']:30} {row['microseconds_per_step']:8.0f} µs "
            f"{row['ratio']:6.2f} x plain"
        )
    publish(results, arguments.json)


@one_thread()
def measure(
    device: str = "cpu", widths: Sequence[int] = (8, 16), rounds: int = 15
) -> dict[str, Any]:
    """Return rows (one per term, teacher cached and not), figures and the facts they depend on.

    Args:
        device: where everything runs.
        widths: of the digits networks.
        rounds: times that each contender is measured.
    """
    where = resolve_device(device)
    rows = [row for width in widths for row in _measure_width(width, rounds, where)]
    figures = [
        Figure(
            f"{row['name']}, width {row['width']}: time per step over plain",
            row["ratio"],
            2,
            1.5,
            False,
        )
        for row in rows
        if row["name"] == "contrastive"
    ]
    return {
        "benchmark": "guidance",
        "device": torch.cuda.get_device_name(where) if where.type == "cuda" else where.type,
        "rounds": rounds,
        "steps_per_round": STEPS,
        "machine": machine_facts(1),
        "terms": TERMS,
        "rows": rows,
        "figures": [figure.to_dict() for figure in figures],
    }


def contenders(task: Task, steps: int, device: str) -> dict[str, FineTune]:
    """Return plain fine-tuning and each term, with the teacher cached and not."""

    def make(guidance: Mapping[str, Any], cache: bool) -> FineTune:
        config = FineTuning(steps=steps, guidance=dict(guidance), device=device)
        return FineTune(task, config, base_lr=0.01, cache_teacher=cache)

    made = {"plain": make({}, True)}
    for name, options in TERMS.items():
        made[name] = make({name: options}, True)
        if name not in ("l2_sp", "si"):
            made[f"{name}, teacher not cached"] = make({name: options}, False)
    made["all five"] = make(TERMS, True)
    return made


def _measure_width(width: int, rounds: int, device: torch.device) -> list[dict[str, Any]]:
    task = FewTasks(width, count=1).sample(0)
    made = contenders(task, STEPS * (rounds + 2), str(device))
    runs = {name: lambda tune=tune: tune.advance(STEPS) for name, tune in made.items()}
    times = time_alternately(runs, rounds, device)
    return [_row(width, name, times[name], times["plain"]) for name in made]


def _row(width: int, name: str, times: Times, plain: Times) -> dict[str, Any]:
    return {
        "width": width,
        "name": name,
        "microseconds_per_step": times.median / STEPS * 1e6,
        "best_microseconds_per_step": times.best / STEPS * 1e6,
        "ratio": ratio(times, plain),
        "seconds": times.seconds,
    }
