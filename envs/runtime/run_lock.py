"""One run per folder: a lock that names its owner and does not outlive it."""

from __future__ import annotations

import json
import os
import shlex
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

LOCK = ".l2o.lock"
"""The file in a run's folder that the operating system locks for the process that runs there."""
OWNER = ".l2o.lock.json"
"""Beside it, who that is."""

_PATIENCE = 0.2
"""Seconds that are waited for a lock: one that is being let go of is soon free."""

_held: dict[tuple[int, int, Path], int] = {}


class FolderInUseError(ValueError):
    """A run that was refused because another one is at work in its folder."""


@contextmanager
def run_lock(folder: str | Path) -> Iterator[None]:
    """Hold a folder for one run; made if missing, and gone again if nothing was put there.

    The lock is the operating system's, so it ends with the process, however that ends: what a
    killed run leaves is taken over. Processes that a run starts do not inherit it. A thread that
    holds a folder may take it again: `l2o benchmark` holds what `run_benchmark` asks for.

    Raises:
        FolderInUseError: another run is at work there; the message names its process.
        OSError: the folder cannot be made or written.

    Example:
        >>> with run_lock("runs/mine"):  # doctest: +SKIP
        ...     train(config, "runs/mine")
    """
    path = Path(folder).resolve()
    key = (os.getpid(), threading.get_ident(), path)
    if key in _held:
        yield
        return
    made = _make(path)
    try:
        with _locked(path, str(folder)):
            _held[key] = 1
            try:
                yield
            finally:
                del _held[key]
    finally:
        for each in made:
            # Not empty: the run left something, which is to stay.
            with suppress(OSError):
                each.rmdir()


def owner_of(folder: Path) -> dict[str, Any]:
    """Return what the process that holds a folder wrote about itself; nothing if that is unread.

    Keys are pid, host, since and command.
    """
    with suppress(OSError, ValueError):
        facts = json.loads((folder / OWNER).read_text(encoding="utf-8"))
        if isinstance(facts, dict):
            return facts
    return {}


@contextmanager
def _locked(path: Path, shown: str) -> Iterator[None]:
    lock = FileLock(path / LOCK, timeout=_PATIENCE, poll_interval=0.05, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        raise FolderInUseError(_refusal(path, shown)) from None
    try:
        with suppress(OSError):  # without it a refusal says less, and that is all
            _write_owner(path)
        yield
    finally:
        # Removed while they are still held: whoever opened the file meanwhile finds that it has
        # lost its name, and opens it anew.
        for name in (OWNER, LOCK):
            with suppress(OSError):
                (path / name).unlink()
        lock.release()


def _make(path: Path) -> list[Path]:
    """Make a folder and those above it; return those that are new, the innermost first."""
    new = [each for each in (path, *path.parents) if not each.exists()]
    path.mkdir(parents=True, exist_ok=True)
    return new


def _write_owner(path: Path) -> None:
    facts = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
    }
    (path / OWNER).write_text(json.dumps(facts) + "\n", encoding="utf-8")


def _refusal(path: Path, shown: str) -> str:
    facts = owner_of(path)
    for _ in range(10):
        if facts:
            break
        time.sleep(0.05)  # it holds the lock, and writes about itself next
        facts = owner_of(path)
    who = (
        f"process {facts.get('pid')} on {facts.get('host')}, since {facts.get('since')}: "
        f"{facts.get('command')}"
        if facts
        else "a process that did not say which"
    )
    return (
        f"another run is at work in {shown} ({who}); wait until it ends or stop it, "
        "or choose another folder with --out"
    )
