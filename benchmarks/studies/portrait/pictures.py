"""Multipliers, wrong base learning rates and loss spikes on held-out tasks, as pictures.

python -m l2o.benchmarks.studies.portrait pictures asg-base --out portrait
"""

from __future__ import annotations

import argparse
from itertools import chain
from pathlib import Path
from typing import Any

from l2o.benchmarks.studies.portrait.base_lr import FACTORS, compare_factors, draw_base_lr
from l2o.benchmarks.studies.portrait.multipliers import draw_multipliers
from l2o.benchmarks.studies.portrait.results import add_section
from l2o.benchmarks.studies.portrait.spike import describe_spike, draw_spike
from l2o.benchmarks.studies.portrait.tasks import choose_tasks
from l2o.benchmarks.studies.portrait.trace import Spike, record_trace
from l2o.configs.schema import PolicyChoice
from l2o.envs.policy_choice import build_policy
from l2o.envs.runtime.threads import one_thread

QUICK_TASKS, QUICK_STEPS = 2, 40


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("policy", help="a shipped policy's name, a bundle's or a run's folder")
    parser.add_argument("overrides", nargs="*", help="key=value, for the benchmark's config")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--config", default="zero-shot", help="benchmark that gives the tasks")
    parser.add_argument("--tasks", type=int, default=10, help="tasks of the first picture")
    parser.add_argument("--few", type=int, default=4, help="tasks of the others")
    parser.add_argument("--seed", type=int, default=0, help="of heads, batches and noise")
    parser.add_argument("--noise", type=float, default=1.0, help="relative size of the spike's")
    parser.add_argument("--quick", action="store_true", help="two tasks, forty steps")


@one_thread()
def run(arguments: argparse.Namespace) -> None:
    """Run the fine-tunes and write the pictures."""
    few, number, steps = arguments.few, arguments.tasks, None
    if arguments.quick:
        few, number, steps = QUICK_TASKS, QUICK_TASKS, QUICK_STEPS
    if not 1 <= few <= number:
        raise SystemExit(f"--few must be between 1 and --tasks={number}, got {few}")
    policy = build_policy(PolicyChoice(policy=arguments.policy))
    tasks = choose_tasks(arguments.config, arguments.overrides, number, steps)
    spike = Spike(size=arguments.noise, seed=arguments.seed)
    settings = {
        "config": arguments.config,
        "overrides": arguments.overrides,
        "seed": arguments.seed,
        "quick": arguments.quick,
    }

    def write(name: str, section: dict[str, Any], figure: Any) -> None:
        add_section(arguments.out, arguments.policy, name, {**settings, **section}, figure)
        print(f"{arguments.out / name}.png")

    plain = [record_trace(shown, policy, seed=arguments.seed) for shown in tasks]
    write("multipliers", {"fine_tunes": plain}, draw_multipliers(plain))

    wrong = [
        [
            reference
            if factor == 1.0
            else record_trace(shown, policy, base_lr_factor=factor, seed=arguments.seed)
            for factor in FACTORS
        ]
        for shown, reference in zip(tasks[:few], plain)
    ]
    found = {"tasks": compare_factors(wrong), "fine_tunes": list(chain(*wrong))}
    write("base_lr", found, draw_base_lr(wrong))

    pairs = [
        (reference, record_trace(shown, policy, seed=arguments.seed, spike=spike))
        for shown, reference in zip(tasks[:few], plain)
    ]
    found = {
        "tasks": [describe_spike(*pair) for pair in pairs],
        "fine_tunes": [spiked for _, spiked in pairs],
    }
    noise = {"relative_size": spike.size, "at": spike.at, "on": "all trained parameters"}
    write("spike", {"noise": noise, **found}, draw_spike(pairs))
