"""What a machine has for jobs, and what of it is free."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

import psutil

from l2o.service.server.jobs.base import Job, Needs

GIBIBYTE = 1 << 30
SHARE = 0.9
"""Share of the machine's memory that jobs may have."""


@dataclass(frozen=True)
class Capacity:
    """What jobs may use together.

    Attributes:
        cores: numbers of the processor's cores.
        gpus: numbers of the GPUs.
        memory_gib: memory, in GiB.
    """

    cores: tuple[int, ...]
    gpus: tuple[int, ...]
    memory_gib: float

    def lacks(self, needs: Needs) -> str:
        """Return what a job asks for that there never is, "" if it could run.

        Example:
            >>> Capacity((0, 1), (), 8.0).lacks(Needs(cores=3))
            'it needs 3 cores, and the machine has 2'
        """
        for name, asked, there in (
            ("cores", needs.cores, len(self.cores)),
            ("GPUs", needs.gpus, len(self.gpus)),
            ("GiB of memory", needs.memory_gib, round(self.memory_gib, 1)),
        ):
            if asked > there:
                return f"it needs {asked:g} {name}, and the machine has {there:g}"
        return ""

    def place(self, needs: Needs, running: Iterable[Job]) -> tuple[list[int], list[int]] | None:
        """Return the cores and GPUs that a job gets beside those that run; None if too few."""
        running = tuple(running)
        taken = {core for job in running for core in job.cores}
        busy = {gpu for job in running for gpu in job.gpus}
        cores = [core for core in self.cores if core not in taken][: needs.cores]
        gpus = [gpu for gpu in self.gpus if gpu not in busy][: needs.gpus]
        used = sum(job.needs.memory_gib for job in running)
        fits = used + needs.memory_gib <= self.memory_gib or not running
        whole = len(cores) == needs.cores and len(gpus) == needs.gpus
        return (cores, gpus) if whole and fits else None


def this_machine() -> Capacity:
    """Return what this process may use of the machine."""
    import torch

    affinity = getattr(os, "sched_getaffinity", None)
    cores = sorted(affinity(0)) if affinity else range(os.cpu_count() or 1)
    gpus = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
    total = psutil.virtual_memory().total
    return Capacity(tuple(cores), tuple(gpus), SHARE * total / GIBIBYTE)
