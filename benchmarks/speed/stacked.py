"""Stacked fine-tunes against the bare loop and against one environment.

python -m l2o.benchmarks.speed stacked --json stacked.json
python -m l2o.benchmarks.speed stacked --device cuda --json stacked-cuda.json
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from l2o.benchmarks.cells.machine import machine_facts
from l2o.benchmarks.speed.bare import BareLoop
from l2o.benchmarks.speed.contenders import (
    INTERVAL,
    FewTasks,
    OneEnvironment,
    StackedEnvironments,
    numbers_of,
    predicted_memory,
    settings,
)
from l2o.benchmarks.speed.figures import Figure, publish
from l2o.benchmarks.speed.memory import measured_on_device, measured_on_host
from l2o.benchmarks.speed.timing import Times, ratio, time_alternately
from l2o.envs.runtime.device import resolve_device
from l2o.envs.runtime.threads import one_thread

_CPU_COUNTS, _CUDA_COUNTS = (1, 8, 16, 32, 128, 512), (1, 8, 32, 128, 256, 512, 1024)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--numbers", type=numbers_of, help="N, for instance 1,8,32,128,512")
    parser.add_argument("--rounds", type=int, default=7, help="times that each is measured")
    parser.add_argument("--precision", default="float32", help="float32, tf32 (CUDA) or bf16")
    parser.add_argument(
        "--memory", action="store_true", help="on CPU: measure memory, too, in a process per N"
    )
    parser.add_argument("--json", type=Path, help="file to write the results to")


def run(arguments: argparse.Namespace) -> None:
    """Measure, print, and write the results."""
    results = measure(
        arguments.device,
        arguments.numbers,
        arguments.rounds,
        arguments.precision,
        arguments.memory,
    )
    for row in results["rows"]:
        print(
            f"width {row['width']:3} {row['name']:14} {row['steps_per_second']:9.1f} steps/s "
            f"ratio {row['ratio']:6.2f}"
        )
    publish(results, arguments.json)


@one_thread()
def measure(
    device: str = "cpu",
    numbers: Sequence[int] | None = None,
    rounds: int = 7,
    precision: str = "float32",
    memory: bool = False,
) -> dict[str, Any]:
    """Return rows (one per contender), figures and the facts they depend on.

    Args:
        device: where everything runs.
        numbers: values of N; None takes the usual ones of the device.
        rounds: times that each contender is measured; one decision each.
        precision: of the stacked networks.
        memory: measure it on CPU, too; on CUDA it always is.
    """
    where = resolve_device(device)
    counts = tuple(numbers or (_CPU_COUNTS if where.type == "cpu" else _CUDA_COUNTS))
    rows = _measure_width(8, counts, rounds, where, precision, memory)
    if where.type == "cpu":
        wide = tuple(n for n in counts if n == 16)
        rows += _measure_width(16, wide, rounds, where, precision, memory) if wide else []
    return {
        "benchmark": "stacked",
        "device": _device_name(where),
        "precision": precision,
        "rounds": rounds,
        "interval": INTERVAL,
        "seeds": [0],
        "machine": machine_facts(1),
        "rows": rows,
        "figures": [figure.to_dict() for figure in _figures(rows, where)],
    }


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _measure_width(
    width: int,
    counts: Sequence[int],
    rounds: int,
    device: torch.device,
    precision: str,
    memory: bool,
) -> list[dict[str, Any]]:
    family = FewTasks(width)
    # Two decisions measure memory, one warms up, one is to spare.
    finetuning = settings(str(device), rounds + 4)
    contenders: dict[str, Any] = {
        "bare loop": BareLoop(family.sample(0), device, interval=INTERVAL),
        "FineTuneEnv": OneEnvironment(family, finetuning),
    }
    facts: dict[str, dict[str, Any]] = {}
    for count in counts:
        name = f"stacked {count}"
        make = partial(StackedEnvironments, family, finetuning, count, precision)
        contenders[name], measured = measured_on_device(make, device)
        if memory and device.type == "cpu":
            measured = measured_on_host(family, finetuning, count, precision)
        facts[name] = {
            "predicted_memory_bytes": predicted_memory(contenders[name], family.sample(0)),
            "measured_memory_bytes": measured,
        }
    times = time_alternately({k: v.run for k, v in contenders.items()}, rounds, device)
    runs = {name: int(name.split()[1]) if "stacked" in name else 1 for name in contenders}
    for name in facts:
        facts[name]["not_captured"] = contenders[name].not_captured()
    return [
        _row(width, name, runs[name], times[name], times["bare loop"], facts.get(name, {}))
        for name in contenders
    ]


def _row(
    width: int, name: str, count: int, times: Times, bare: Times, facts: dict[str, Any]
) -> dict[str, Any]:
    steps = count * INTERVAL
    return {
        "width": width,
        "name": name,
        "runs": count,
        "steps_per_second": steps / times.median,
        "microseconds_per_step": times.median / steps * 1e6,
        "best_microseconds_per_step": times.best / steps * 1e6,
        "ratio": ratio(bare, times, count),
        **{"predicted_memory_bytes": None, "measured_memory_bytes": None, **facts},
        "seconds": times.seconds,
    }


def _figures(rows: Sequence[dict[str, Any]], device: torch.device) -> list[Figure]:
    found = {(row["width"], row["name"]): row for row in rows}

    def value(width: int, name: str, key: str) -> float | None:
        row = found.get((width, name))
        return None if row is None else float(row[key])

    made: list[Figure] = []

    def add(figure: str, number: float | None, must: float, goal: float, up: bool = True) -> None:
        if number is not None:
            made.append(Figure(figure, number, must, goal, up))

    one = value(8, "FineTuneEnv", "ratio")
    if device.type == "cpu":
        for width, must, goal in ((8, 2.5, 4.0), (16, 1.5, 2.5)):
            name = f"CPU, one thread, N = 16, width {width}: ratio to the bare loop"
            add(name, value(width, "stacked 16", "ratio"), must, goal)
        add("FineTuneEnv, N = 1: time over the bare loop's", one and 1 / one, 1.15, 1.05, False)
        return made
    largest = max((row for row in rows if "stacked" in row["name"]), key=lambda row: row["runs"])
    add("GPU, N = 256, width 8: ratio to the bare loop", value(8, "stacked 256", "ratio"), 40, 150)
    add("GPU, largest N: fine-tune steps per second", largest["steps_per_second"], 20_000, 100_000)
    few, many = (value(8, f"stacked {n}", "microseconds_per_step") for n in (32, 512))
    if few and many:
        # The dearest on the way, too: cost must not rise in between either.
        on_the_way = [r["microseconds_per_step"] for r in rows if 32 < r["runs"] <= 512]
        cost = "GPU, cost per environment, N = 512 over N = 32"
        add(cost, many / few, 1.0, 0.9, False)
        add(f"{cost}, dearest N up to 512", max(on_the_way) / few, 1.0, 1.0, False)
    return made
