"""Worker processes: one torch thread each, deaf to Ctrl-C, and gone when their parent is."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch


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
