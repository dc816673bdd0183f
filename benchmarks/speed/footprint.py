"""What a controller takes of memory and time in training large models, and to be imported.

l2o speed footprint --json footprint.json
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from l2o.benchmarks.cells.machine import machine_facts
from l2o.benchmarks.speed.figures import Figure, figures_table
from l2o.benchmarks.speed.large import LARGE
from l2o.benchmarks.speed.overhead import MODES, overhead_of_steps
from l2o.benchmarks.speed.training import POLICY, Training, Workload
from l2o.envs.runtime.threads import one_thread
from l2o.registry import lookup

_IMPORTS = {
    "import torch": "import torch",
    "import l2o": "import l2o",
    "l2o.LRController and load_policy": "import l2o; l2o.LRController; l2o.load_policy",
}
_TIMED = "import time; t = time.perf_counter(); {}; print(time.perf_counter() - t)"


@one_thread()
def measure(models: Sequence[str], rounds: int) -> dict[str, Any]:
    """Return what is held and what steps take, with a controller and without, on the CPU.

    Args:
        models: keys of `l2o.benchmarks.speed.large.LARGE`.
        rounds: pairs of steps of each contender, in turn.
    """
    device, optimizer = torch.device("cpu"), "AdamW, fused"
    workloads = [lookup("model", LARGE, name) for name in models]
    memory, rows = [], []
    for workload in workloads:
        memory += [memory_added(workload, optimizer, device, mode) for mode in MODES]
        steps = overhead_of_steps(workload, optimizer, rounds, lambda line: print(line, flush=True))
        rows += [row | _ratios(row) for row in steps if row["interval"] in (1, 10)]
    results = {
        "benchmark": "footprint",
        "device": "cpu",
        "policy": POLICY,
        "machine": machine_facts(1),
        "memory": memory,
        "rows": rows,
    }
    figures = [figure.to_dict() for figure in _figures(memory, rows)]
    return results | {"figures": figures}


def _ratios(row: dict[str, Any]) -> dict[str, float]:
    """Return what steps take with a controller over those without, in two ways."""
    return {"ratio": 1 + row["percent"] / 100, "whole_ratio": 1 + row["whole_percent"] / 100}


def _figures(memory: list[dict[str, Any]], rows: list[dict[str, Any]]) -> Iterator[Figure]:
    for mode in MODES:
        copies = "the guard's copy" + (" and its own" if mode == "update_scale" else "")
        held = max(_beyond_copies(row) for row in memory if _of(row, mode))
        name = f"{mode}: memory held over the weights, beyond {copies}"
        yield Figure(name, held, 0.02, 0.015, at_least=False)
        for interval, must, goal in ((1, 1.05, 1.02), (10, 1.005, 1.002)):
            ratios = [r["ratio"] for r in rows if _of(r, mode) and r["interval"] == interval]
            what = "a step that decides" if interval == 1 else "all steps at K = 10"
            yield Figure(f"{mode}: {what} over a plain one", max(ratios), must, goal, False)
    guards = max(row["guard_per_weight"] for row in memory)
    # Two bytes a weight; vectors and buffers stay whole, which is some thousandths.
    yield Figure("the guard's copy over the weights", guards, 0.51, 0.505, at_least=False)


def _beyond_copies(row: dict[str, Any]) -> float:
    held: float = row["per_weight"] - row["copy_per_weight"] - row["guard_per_weight"]
    return held


def _of(row: dict[str, Any], mode: str) -> bool:
    return bool(row["mode"] == mode)


def footprint_tables(results: dict[str, Any]) -> str:
    """Return all tables of a run, as Markdown."""
    lines = [
        "| network | mode | held, MiB | over the weights | mode's copy | guard's copy | rest |"
    ]
    lines += ["|---|---|---:|---:|---:|---:|---:|"]
    lines += [
        f"| {row['model']} | `{row['mode']}` | {row['bytes'] / 2**20:,.1f} "
        f"| {row['per_weight']:.4f} | {row['copy_per_weight']:.4f} "
        f"| {row['guard_per_weight']:.4f} | {_beyond_copies(row):.4f} |"
        for row in results["memory"]
    ]
    lines += ["", "| network | mode | K | plain step, ms | over a plain step | from whole steps |"]
    lines += ["|---|---|---:|---:|---:|---:|"]
    lines += [
        f"| {row['model']} | `{row['mode']}` | {row['interval']} | {row['step_ms']:,.0f} "
        f"| {row['ratio']:.4f} | {row['whole_ratio']:.4f} |"
        for row in results["rows"]
    ]
    return "\n".join([*lines, "", figures_table(results)])


def time_imports(repeats: int) -> dict[str, float]:
    """Return the median milliseconds of each import, each in a process of its own, in turn."""
    seconds: dict[str, list[float]] = {name: [] for name in _IMPORTS}
    for _ in range(repeats):
        for name, statement in _IMPORTS.items():
            command = [sys.executable, "-c", _TIMED.format(statement)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            seconds[name].append(float(done.stdout))
    return {name: statistics.median(times) * 1e3 for name, times in seconds.items()}


def memory_added(
    workload: Workload, optimizer: str, device: torch.device, mode: str
) -> dict[str, Any]:
    """Return the bytes that a controller holds after two decisions, and over those of the weights.

    Buffers of the model are not the controller's. Returned are `bytes`; `per_weight`, over the
    bytes of the parameters; and what of it is `copy_per_weight`, the copy of the weights whose
    updates mode `update_scale` scales, and `guard_per_weight`, the guard's copy of good ones.
    """
    training = Training(workload, optimizer, device, mode, interval=1)
    for _ in range(2):
        training.step()
    parameters = list(training.model.parameters())
    of_model = [t for p in parameters for t in (p, p.grad) if t is not None]
    of_model += training.model.buffers()
    theirs = {tensor.untyped_storage().data_ptr() for tensor in of_model}
    controller = training.controller
    assert controller is not None, "made for every mode"
    held = held_bytes(controller, theirs)
    copy = held_bytes(getattr(controller.mode, "_before", []), theirs)
    guards = controller.guard.nbytes if controller.guard else 0
    weights = sum(p.numel() * p.element_size() for p in parameters)
    return {
        "model": workload.name,
        "mode": mode,
        "bytes": held,
        "weights": weights,
        "per_weight": held / weights,
        "copy_per_weight": copy / weights,
        "guard_per_weight": guards / weights,
    }


def held_bytes(owner: object, others: set[int]) -> int:
    """Return the bytes of all tensors and arrays reachable from an object.

    Args:
        owner: a plain object; attributes, lists, tuples, dicts and sets are followed, but not into
            modules and optimizers.
        others: addresses of storages that belong to someone else.
    """
    sizes: dict[int, int] = {}
    for found in _walk(owner, set()):
        if isinstance(found, np.ndarray):
            # A view of a tensor or of another array has that one's memory.
            if found.base is None:
                sizes[found.ctypes.data] = found.nbytes
        else:
            storage = found.untyped_storage()
            sizes[storage.data_ptr()] = storage.nbytes()
    return sum(size for address, size in sizes.items() if address not in others)


def _walk(thing: object, seen: set[int]) -> Iterator[Any]:
    if id(thing) in seen:
        return
    seen.add(id(thing))
    if isinstance(thing, torch.Tensor | np.ndarray):
        yield thing
    elif isinstance(thing, dict):
        for value in thing.values():
            yield from _walk(value, seen)
    elif isinstance(thing, list | tuple | set | frozenset):
        for value in thing:
            yield from _walk(value, seen)
    elif not isinstance(thing, torch.nn.Module | torch.optim.Optimizer | type):
        yield from _walk(getattr(thing, "__dict__", {}), seen)
