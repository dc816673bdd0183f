"""What a controller takes besides time in training: importing it, and memory."""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from l2o.benchmarks.speed.training import Training, Workload

_IMPORTS = {
    "import torch": "import torch",
    "import l2o": "import l2o",
    "l2o.LRController and load_policy": "import l2o; l2o.LRController; l2o.load_policy",
}
_TIMED = "import time; t = time.perf_counter(); {}; print(time.perf_counter() - t)"


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

    Returns:
        `bytes` and `per_weight`, the first over the bytes of the parameters.
    """
    training = Training(workload, optimizer, device, mode, interval=1)
    for _ in range(2):
        training.step()
    parameters = list(training.model.parameters())
    theirs = {
        t.untyped_storage().data_ptr() for p in parameters for t in (p, p.grad) if t is not None
    }
    held = held_bytes(training.controller, theirs)
    weights = sum(p.numel() * p.element_size() for p in parameters)
    return {
        "model": workload.name,
        "mode": mode,
        "bytes": held,
        "weights": weights,
        "per_weight": held / weights,
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
