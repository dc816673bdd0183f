"""Sharing networks among as many threads as torch may use."""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch


def share(count: int, work: Callable[[int, int], None]) -> None:
    """Call `work(first, past)` on equal shares of `range(count)`, one per thread.

    Networks do not depend on each other, so the numbers do not depend on the threads.

    Args:
        count: of networks.
        work: must let go of Python's lock, as functions of a shared library do.
    """
    threads = min(torch.get_num_threads(), count)
    if threads <= 1:
        work(0, count)
        return
    bounds = [count * i // threads for i in range(threads + 1)]
    # A forked process has none of its parent's threads.
    pool = _pool(os.getpid(), torch.get_num_threads())
    for done in [pool.submit(work, *pair) for pair in itertools.pairwise(bounds)]:
        done.result()


@functools.lru_cache(maxsize=1)
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="l2o-kernels")
