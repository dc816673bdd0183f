"""The executor of a name and a number of workers."""

from __future__ import annotations

from l2o.envs.runtime.executor import EXECUTORS, Executor, Here
from l2o.registry import lookup


def choose_executor(name: str, workers: int) -> Executor:
    """Return an executor; for one worker on this machine, this process.

    Args:
        name: a key of `EXECUTORS`, or a dotted path to an executor of the user's own.
        workers: how many pieces are at work at once.

    Raises:
        ValueError: an unknown name, or fewer than one worker.

    Example:
        >>> type(choose_executor("processes", 1)).__name__
        'Here'
    """
    kind = lookup("executor", EXECUTORS, name)
    return Here() if name == "processes" and workers == 1 else kind(workers)
