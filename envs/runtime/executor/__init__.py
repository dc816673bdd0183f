"""Executors: many independent pieces of work, and stateful workers, here or in other processes."""

from __future__ import annotations

from l2o.envs.runtime.executor.base import (
    Actor,
    Executor,
    Pending,
    Source,
    Take,
    Work,
    WorkerDiedError,
    gather,
    in_order,
)
from l2o.envs.runtime.executor.failures import RemoteError, RemoteTraceback
from l2o.envs.runtime.executor.here import Here
from l2o.envs.runtime.executor.processes import Processes

EXECUTORS: dict[str, type[Executor]] = {
    "processes": Processes,
    "here": Here,
}
"""Name in a config -> executor, made of the number of its `workers` and the config's options."""

__all__ = [
    "EXECUTORS",
    "Actor",
    "Executor",
    "Here",
    "Pending",
    "Processes",
    "RemoteError",
    "RemoteTraceback",
    "Source",
    "Take",
    "Work",
    "WorkerDiedError",
    "gather",
    "in_order",
]
