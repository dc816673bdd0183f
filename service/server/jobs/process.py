"""Starting a job's process, and stopping it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from l2o.registry import NO_CODE
from l2o.service.server.jobs import supervise
from l2o.service.server.jobs.base import Job
from l2o.service.server.jobs.folder import JobFolder

_SECRET = ("TOKEN", "SECRET", "PASSWORD", "CREDENTIAL", "API_KEY", "L2O_SERVE_SETTINGS")


def start(
    job: Job,
    folder: JobFolder,
    words: Sequence[str],
    data: Path,
    allow_code: bool = False,
) -> subprocess.Popen[bytes]:
    """Start an attempt of a job: its command, under a process that waits for it.

    It is in a session of its own, so that it outlives the server, and runs in the data folder on
    the cores and GPUs of the job.

    Args:
        job: with the attempt's number, cores and GPUs.
        folder: the job's.
        words: of the command, after `l2o`.
        data: the folder that it runs in.
        allow_code: whether names of code are imported.

    Returns:
        The waiting process.
    """
    python = [sys.executable, *(["-P"] if sys.flags.safe_path else [])]
    command = [*python, "-m", "l2o", *words]
    waiting = [sys.executable, "-I", "-S", supervise.__file__, str(folder.path), str(job.attempt)]
    process = subprocess.Popen(
        [*waiting, *command],
        cwd=data,
        env=environment(os.environ, job, allow_code),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    hold_to(process.pid, job.cores)
    return process


def environment(given: Mapping[str, str], job: Job, allow_code: bool) -> dict[str, str]:
    """Return a job's environment: the server's without what is secret, and the job's GPUs.

    Example:
        >>> environment({"PATH": "/bin", "L2O_TOKEN": "x"}, job, False)  # doctest: +SKIP
        {'PATH': '/bin', 'L2O_NO_CODE': '1', 'CUDA_VISIBLE_DEVICES': ''}
    """
    kept = {k: v for k, v in given.items() if not any(word in k.upper() for word in _SECRET)}
    kept.pop("PROMETHEUS_MULTIPROC_DIR", None)
    kept["PYTHONUNBUFFERED"] = "1"
    kept["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, job.gpus))
    kept.pop(NO_CODE, None)
    if not allow_code:
        kept[NO_CODE] = "1"
        # Modules of the data folder, which uploads are written to, are not for importing.
        kept["PYTHONSAFEPATH"] = "1"
    return kept


def hold_to(pid: int, cores: Sequence[int]) -> None:
    """Hold a process, and what it starts, to some cores, where the system can."""
    if cores and hasattr(os, "sched_setaffinity"):
        with suppress(OSError):
            os.sched_setaffinity(pid, cores)


def signal_group(folder: JobFolder, attempt: int, number: signal.Signals) -> None:
    """Send a signal to all processes of a job, if any of it lives."""
    group = folder.process(attempt)
    # While the lock is held, the group has members and its number is nobody else's.
    if group is not None and folder.is_alive:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, number)


def memory(folder: JobFolder, attempt: int) -> int:
    """Return the bytes that all processes of a job hold together, 0 where none lives."""
    pid = folder.process(attempt)
    if pid is None:
        return 0
    total = 0
    with suppress(psutil.Error):
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            with suppress(psutil.Error):
                total += process.memory_info().rss
    return total
