"""The executor that a config names, of a number of workers."""

from __future__ import annotations

from l2o.configs.schema import Named
from l2o.envs.build import build
from l2o.envs.runtime.executor import EXECUTORS, Executor, Here

DEFAULT = Named(name="processes")


def choose_executor(named: Named | str, workers: int, apart: bool = False) -> Executor:
    """Return an executor; for one worker on this machine, this process. Nothing starts yet.

    Args:
        named: a key of `EXECUTORS`, or a dotted path to an executor of the user's own, and its
            options.
        workers: how many pieces are at work at once.
        apart: one process is to be another one, as several are.

    Raises:
        ValueError: an unknown name or option, or fewer than one worker.

    Example:
        >>> type(choose_executor("processes", 1)).__name__
        'Here'
    """
    executor = build("executor", EXECUTORS, named, workers=workers)
    if not isinstance(executor, Executor):
        raise ValueError(
            f"executor {named!r} must make a subclass of {Executor.__module__}."
            f"{Executor.__name__}, got {executor!r:.100}"
        )
    alone = named in (DEFAULT, DEFAULT.name) and workers == 1 and not apart
    return Here() if alone else executor
