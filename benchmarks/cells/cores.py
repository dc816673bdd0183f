"""How many cores a process may use."""

from __future__ import annotations

import os


def usable_cores() -> int:
    """Return the cores of this process's affinity mask, or all where there is none."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
