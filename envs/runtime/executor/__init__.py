"""Executors: many independent pieces of work, and stateful workers, here or in other processes."""

from __future__ import annotations

from l2o.envs.runtime.executor.base import (
    Actor,
    Executor,
    Pending,
    Returnable,
    Source,
    Take,
    Work,
    WorkerDiedError,
    gather,
    in_order,
)
from l2o.envs.runtime.executor.failures import RemoteError, RemoteTraceback
from l2o.envs.runtime.executor.here import Here
from l2o.envs.runtime.executor.on_ray.executor import OnRay
from l2o.envs.runtime.executor.processes import Processes

EXECUTORS: dict[str, type[Executor]] = {
    "processes": Processes,
    "here": Here,
    "ray": OnRay,
}
"""Name in a config -> executor, made of the number of its `workers` and the config's options."""

__all__ = [
    "EXECUTORS",
    "Actor",
    "Executor",
    "Here",
    "OnRay",
    "Pending",
    "Processes",
    "RemoteError",
    "RemoteTraceback",
    "Returnable",
    "Source",
    "Take",
    "Work",
    "WorkerDiedError",
    "gather",
    "in_order",
]
