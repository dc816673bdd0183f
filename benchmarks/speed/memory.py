"""Memory that stacked environments take: predicted, and measured; on CPU in a new process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from l2o.benchmarks.speed.contenders import decide, stack
from l2o.configs.schema import Options
from l2o.envs.runtime.executor import Processes
from l2o.envs.stacked import StackedFineTuneEnv, Start
from l2o.envs.stacked.memory import predict_memory
from l2o.envs.tasks import Task, TaskFamily

_STATUS = Path("/proc/self/status")


def predicted_memory(env: StackedFineTuneEnv, task: Task) -> int:
    """Return the bytes that stacked environments are predicted to take."""
    need = predict_memory(Start(task), env.runs, ["target_validation"])
    return need.total(env.runs.runs, env.runs.chunk)


def begin(
    family: TaskFamily, finetuning: Options, count: int, precision: str, device: torch.device
) -> tuple[StackedFineTuneEnv, Callable[[], object], int | None]:
    """Return stacked environments, what takes a decision, and the most bytes held; on CUDA only."""
    if device.type != "cuda":
        env = stack(family, finetuning, count, precision)
        return env, decide(env), None
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    env = stack(family, finetuning, count, precision)
    step = decide(env)
    # The first decision captures what later ones replay, so it is the largest.
    for _ in range(2):
        step()
    return env, step, int(torch.cuda.max_memory_allocated(device) - before)


def measured_on_host(
    family: TaskFamily, finetuning: Options, count: int, precision: str
) -> int | None:
    """Return the bytes that a fresh process grows by at most, making and stepping environments.

    None where the system does not tell (it must have `/proc/self/status`).
    """
    if not _STATUS.exists():
        return None
    with Processes(1) as executor:
        [(_, grown)] = executor.map(_grow, [(family, finetuning, count, precision)])
    return grown


def _grow(arguments: tuple[TaskFamily, Options, int, str]) -> int:
    # Allocates what every process allocates once.
    torch.ones(64, 64).mm(torch.ones(64, 64))
    before = _status("VmRSS")
    step = decide(stack(*arguments))
    for _ in range(2):
        step()
    return _status("VmHWM") - before


def peak_of_process() -> int | None:
    """Return the most bytes that this process ever held; None where the system does not tell."""
    return _status("VmHWM") if _STATUS.exists() else None


def _status(field: str) -> int:
    """Return a field of this process's status in bytes; the peak is of this program alone.

    (`getrusage` would count what the parent held before it began another program.)
    """
    lines = dict(line.split(":", 1) for line in _STATUS.read_text().splitlines())
    return int(lines[field].split()[0]) * 1024
