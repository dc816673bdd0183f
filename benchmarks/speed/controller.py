"""A training step with and without the controller, the decision, import time and memory.

python -m l2o.benchmarks.speed controller --json controller.json
python -m l2o.benchmarks.speed controller --device cuda --json controller-cuda.json
"""

from __future__ import annotations

import argparse
import json
from functools import partial
from pathlib import Path
from typing import Any

import torch

from l2o.benchmarks.cells.machine import machine_facts
from l2o.benchmarks.speed.decision import GROUPS, time_decision
from l2o.benchmarks.speed.figures import Figure
from l2o.benchmarks.speed.footprint import memory_added, time_imports
from l2o.benchmarks.speed.overhead import MODES, overhead_of_steps, overhead_of_windows
from l2o.benchmarks.speed.page import controller_tables
from l2o.benchmarks.speed.syncs import HostReads, cuda_syncs
from l2o.benchmarks.speed.training import (
    OPTIMIZERS,
    POLICY,
    RESNET,
    RESNET50,
    VIT,
    Training,
    Workload,
)
from l2o.envs.runtime.device import resolve_device
from l2o.envs.runtime.threads import one_thread
from l2o.files.atomic import write_atomically


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--rounds", type=int, help="pairs of steps (cuda: windows) per row")
    parser.add_argument("--quick", action="store_true", help="fewer rounds, the ResNet alone")
    parser.add_argument("--json", type=Path, help="file to write the results to")


def run(arguments: argparse.Namespace) -> None:
    """Measure, print, and write the results."""
    results = measure(arguments.device, arguments.rounds, arguments.quick)
    print(controller_tables(results))
    if arguments.json:
        write_atomically(arguments.json, json.dumps(results, indent=2) + "\n")


@one_thread()
def measure(
    device: str = "cpu",
    rounds: int | None = None,
    quick: bool = False,
    workloads: tuple[Workload, ...] | None = None,
) -> dict[str, Any]:
    """Return rows (one per network, optimizer, mode and interval), figures and the facts.

    Args:
        device: where the networks train.
        rounds: repetitions per row; None takes the usual number.
        quick: fewer repetitions, and one network.
        workloads: what is trained; None takes the usual networks of the device.
    """
    where = resolve_device(device)
    on_cpu = where.type == "cpu"
    chosen = workloads or ((RESNET, VIT) if on_cpu else (RESNET50,))
    chosen = chosen[:1] if quick else chosen
    number = rounds or {(True, True): 6, (True, False): 20}.get((on_cpu, quick), 6 if quick else 15)
    rows = [
        row
        for workload in chosen
        for optimizer in OPTIMIZERS
        for row in (
            overhead_of_steps(workload, optimizer, number, _say)
            if on_cpu
            else overhead_of_windows(workload, optimizer, where, number)
        )
    ]
    repeats = 200 if quick else 2000
    results = {
        "benchmark": "controller",
        "device": "cpu" if on_cpu else torch.cuda.get_device_name(where),
        "policy": POLICY,
        "seeds": [0, 1],
        "machine": machine_facts(1),
        "rows": rows,
        "decisions": [time_decision(groups, where, repeats) for groups in GROUPS],
        "imports_ms": time_imports(3 if quick else 7),
        "memory": [
            memory_added(workload, "SGD", where, mode) for workload in chosen for mode in MODES
        ],
        "host_reads": [host_reads(chosen[0], where, mode) for mode in MODES],
    }
    return results | {"figures": [figure.to_dict() for figure in _figures(results, on_cpu)]}


def host_reads(workload: Workload, device: torch.device, mode: str) -> dict[str, Any]:
    """Return how often the host waits for the device, per step between decisions.

    `cuda_syncs` are those that CUDA reports beyond the ones of the step without a controller;
    null where there is no CUDA device.
    """
    steps = 4
    training = Training(workload, "AdamW, fused", device, mode, interval=steps + 1)
    for _ in range(steps + 1):
        training.step()
    with HostReads() as reads:
        for _ in range(steps):
            training.step()
    row: dict[str, Any] = {"mode": mode, "per_step": reads.total / steps, "cuda_syncs": None}
    if device.type == "cuda":
        bare = Training(workload, "AdamW, fused", device)
        bare.step()
        training.step()
        syncs = [cuda_syncs(partial(_take, each, steps)) for each in (training, bare)]
        row["cuda_syncs"] = (syncs[0] - syncs[1]) / steps
    return row


def _take(training: Training, steps: int) -> None:
    for _ in range(steps):
        training.step()


def _figures(results: dict[str, Any], on_cpu: bool) -> list[Figure]:
    def worst(mode: str) -> float:
        """The largest overhead over networks and optimizers."""
        found = (r for r in results["rows"] if (r["mode"], r["interval"]) == (mode, 10))
        return max(row["percent"] for row in found)

    if not on_cpu:
        name = results["device"]
        syncs = max(row["cuda_syncs"] for row in results["host_reads"])
        return [
            Figure(
                f"{name}, ResNet-50-size, bf16, groups, K = 10: overhead per step, %",
                worst("groups"),
                1.0,
                0.2,
                at_least=False,
            ),
            Figure(f"{name}: host syncs per optimizer step between decisions", syncs, 0, 0, False),
        ]
    decision = next(row for row in results["decisions"] if row["groups"] == 32)
    return [
        Figure(
            "CPU, groups, K = 10: overhead per step, %", worst("groups"), 2.0, 0.5, at_least=False
        ),
        Figure(
            "CPU, update_scale, K = 10: overhead per step, %",
            worst("update_scale"),
            6.0,
            3.0,
            at_least=False,
        ),
        Figure(
            "CPU, 32 groups: one decision, ms",
            decision["decision_us"] / 1e3,
            0.5,
            0.1,
            at_least=False,
        ),
    ]


def _say(line: str) -> None:
    print(line, flush=True)
