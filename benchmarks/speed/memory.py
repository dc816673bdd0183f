"""Memory that stacked environments take: on a GPU measured in place, on CPU in a new process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from l2o.benchmarks.speed.contenders import StackedEnvironments
from l2o.envs.runtime.executor import Processes
from l2o.envs.tasks import TaskFamily

_STATUS = Path("/proc/self/status")


def measured_on_device(
    make: Callable[[], StackedEnvironments], device: torch.device
) -> tuple[StackedEnvironments, int | None]:
    """Return environments after their first decisions, and the most bytes they held; CUDA only.

    The first decision captures what later ones replay, so it is the largest.
    """
    if device.type != "cuda":
        return make(), None
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    made = make()
    for _ in range(2):
        made.run()
    return made, int(torch.cuda.max_memory_allocated(device) - before)


def measured_on_host(
    family: TaskFamily, finetuning: dict[str, Any], count: int, precision: str
) -> int | None:
    """Return the bytes that a fresh process grows by at most, making and stepping environments.

    None where the system does not tell (it must have `/proc/self/status`).
    """
    if not _STATUS.exists():
        return None
    with Processes(1) as executor:
        [(_, grown)] = executor.map(_grow, [(family, finetuning, count, precision)])
    return grown


def _grow(arguments: tuple[Any, ...]) -> int:
    # Allocates what every process allocates once.
    torch.ones(64, 64).mm(torch.ones(64, 64))
    before = _status("VmRSS")
    environments = StackedEnvironments(*arguments)
    for _ in range(2):
        environments.run()
    return _status("VmHWM") - before


def _status(field: str) -> int:
    """Return a field of this process's status in bytes; the peak is of this program alone.

    (`getrusage` would count what the parent held before it began another program.)
    """
    lines = dict(line.split(":", 1) for line in _STATUS.read_text().splitlines())
    return int(lines[field].split()[0]) * 1024
