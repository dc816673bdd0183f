"""Facts of the machine and software that results depend on."""

from __future__ import annotations

import os
import platform

from l2o import __version__


def machine_facts(workers: int) -> dict[str, int | str]:
    """Return what a reader needs to judge the times: cores, processes, versions."""
    import torch

    return {
        "usable_cores": usable_cores(),
        "processes": workers,
        "threads_per_process": 1,
        "processor": platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "l2o": __version__,
    }


def usable_cores() -> int:
    """Return the cores of this process's affinity mask, or all where there is none."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
