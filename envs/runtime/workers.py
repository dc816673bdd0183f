"""Worker processes: one torch thread each, deaf to Ctrl-C, and gone when their parent is."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from typing import TypeVar

import torch

from l2o.envs.runtime.interrupts import check_interrupts

Argument = TypeVar("Argument")
Result = TypeVar("Result")

PATIENCE = 0.1
"""Seconds that are waited for a worker before Ctrl-C is asked for again."""


def prepare_worker() -> None:
    """Settle a worker process; in the main process it only limits the threads.

    Two torch threads on a busy core were measured 10 to 15 times slower than one. Ctrl-C is for
    the parent, which saves and then ends its workers. A worker whose parent was killed would wait
    for work forever, so it ends itself.
    """
    torch.set_num_threads(1)
    if multiprocessing.parent_process() is not None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def one_thread() -> Iterator[None]:
    """Run torch on one thread: faster for small networks, and sums do not depend on the cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def worker_pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Make worker processes, and end them: at once, whatever they do, if an error passes."""
    pool = make_pool(workers)
    try:
        yield pool
    except BaseException:
        end_pool(pool)
        raise
    pool.shutdown()


def make_pool(workers: int) -> ProcessPoolExecutor:
    """Return a pool of settled worker processes; `end_pool` ends it."""
    context = multiprocessing.get_context("forkserver")
    return ProcessPoolExecutor(workers, context, prepare_worker)


def end_pool(pool: ProcessPoolExecutor) -> None:
    """End the processes of a pool at once, whatever they do."""
    # What `ProcessPoolExecutor.terminate_workers` does from Python 3.14 on.
    processes = list((pool._processes or {}).values())
    pool.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        process.terminate()
    for process in processes:
        process.join()


def map_in_pool(
    pool: ProcessPoolExecutor, function: Callable[[Argument], Result], given: Iterable[Argument]
) -> Iterator[Result]:
    """Yield results in the order of the arguments, as `pool.map`; Ctrl-C is asked for meanwhile.

    Raises:
        KeyboardInterrupt: Ctrl-C was noted (`deferred_interrupts`).
    """
    futures: list[Future[Result]] = []
    try:
        futures += [pool.submit(function, each) for each in given]
        for future in futures:
            while wait([future], timeout=PATIENCE).not_done:
                check_interrupts()
            yield future.result()
    except BrokenExecutor:
        check_interrupts()  # a terminal's Ctrl-C goes to workers that are just starting, too
        raise
    finally:
        for future in futures:
            future.cancel()
