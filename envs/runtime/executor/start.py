"""Starting worker processes: deaf to Ctrl-C from birth, and nothing changed in this process."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from l2o.envs.runtime.executor.worker import serve

NAME = "l2o-worker"
THREADS = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""What a worker finds in its environment: torch's own setting does not reach every library, and
comes too late for those that look when they are loaded."""

_starting = threading.Lock()


def start_worker() -> tuple[BaseProcess, Connection]:
    """Start a worker; return it and our end of its pipe.

    Every worker is a new program ("spawn"), whatever start method the caller chose: it inherits no
    lock, no open file and no CUDA context, sees the environment as it is now, and whatever dies
    closes its end of the pipe.

    Raises:
        RuntimeError: this process is one that multiprocessing lets have no children.
    """
    if multiprocessing.current_process().daemon:
        raise RuntimeError(
            "a daemonic process cannot start workers; use executor.name=here, or one worker"
        )
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs,), name=NAME)
    with _starting, _as_workers_are_to_be():
        process.start()
    theirs.close()
    return process, ours


@contextmanager
def _as_workers_are_to_be() -> Iterator[None]:
    """Let this process have what a child inherits, for the moment of its start."""
    masks = hasattr(signal, "pthread_sigmask")
    before = {name: os.environ.get(name) for name in THREADS}
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if masks else set()
    try:
        os.environ.update(THREADS)
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        if masks:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def _end_forgotten_workers(owner: int = os.getpid()) -> None:
    """End the workers of executors that nobody closed: a program would wait for them forever.

    They are no daemons, so that they may have workers of their own.
    """
    if os.getpid() == owner:
        for child in multiprocessing.active_children():
            if child.name == NAME:
                child.terminate()


# Handlers run the last one first: this one before multiprocessing's, which waits.
atexit.register(_end_forgotten_workers)
