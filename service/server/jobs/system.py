"""How busy the machine is."""

from __future__ import annotations

from pathlib import Path

import psutil
from fastapi import APIRouter

from l2o.service.server.jobs.answers import SystemAnswer
from l2o.service.server.jobs.runner import Runner


def system_answer(runner: Runner) -> SystemAnswer:
    """Return what the machine has, what jobs take of it, and how busy it is."""
    running, capacity = runner.store.running(), runner.capacity
    return SystemAnswer(
        cores=len(capacity.cores),
        gpus=len(capacity.gpus),
        memory_gib=round(capacity.memory_gib, 2),
        cores_taken=sum(len(job.cores) for job in running),
        gpus_taken=sum(len(job.gpus) for job in running),
        memory_taken_gib=round(sum(job.needs.memory_gib for job in running), 2),
        # Since the last call; of this process's first one it is 0.
        load=psutil.cpu_percent() / 100.0,
        memory_used=psutil.virtual_memory().percent / 100.0,
        disk_used=_disk(runner.data),
        counts=runner.store.count(),
    )


def _disk(data: Path) -> float:
    return float(psutil.disk_usage(str(data)).percent) / 100.0


def system_routes(runner: Runner) -> APIRouter:
    """Return the route of the machine."""
    router = APIRouter(prefix="/v1/system", tags=["operation"])

    @router.get("")
    def get() -> SystemAnswer:
        """Tell how busy the machine is."""
        return system_answer(runner)

    return router
