"""Work off the training's thread: one worker, which nobody waits for longer than agreed."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Job(Generic[T]):
    """A piece of work on its way; `wait` for what it returns."""

    def __init__(self, function: Callable[[], T]) -> None:
        self._function = function
        self._done = threading.Event()
        self._result: T | None = None
        self._error: Exception | None = None

    def run(self) -> None:
        """Do it."""
        try:
            self._result = self._function()
        except Exception as error:
            self._error = error
        finally:
            self._done.set()

    @property
    def done(self) -> bool:
        """Whether it is over."""
        return self._done.is_set()

    def wait(self, seconds: float) -> T:
        """Return what it returns, or raise what it raises.

        Raises:
            TimeoutError: it is not over in time; it goes on.
        """
        if not self._done.wait(max(0.0, seconds)):
            raise TimeoutError("the time is over")
        if self._error is not None:
            raise self._error
        return self._result  # type: ignore[return-value]


class Background:
    """One thread that does one piece of work after the other; it ends with the process.

    Example:
        >>> Background().begin(lambda: 2 + 2).wait(1.0)
        4
    """

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Job[Any]] | None = None
        self._process = 0
        self._last: Job[Any] | None = None

    def __getstate__(self) -> dict[str, Any]:
        # A thread belongs to one process; another one begins its own.
        return {"_queue": None, "_process": 0, "_last": None}

    @property
    def busy(self) -> bool:
        """Whether the last piece of work is not over."""
        return self._last is not None and self._process == os.getpid() and not self._last.done

    def begin(self, function: Callable[[], T]) -> Job[T]:
        """Begin a piece of work, once those before it are over."""
        if self._queue is None or self._process != os.getpid():
            self._queue, self._process = queue.SimpleQueue(), os.getpid()
            threading.Thread(target=_work, args=(self._queue,), daemon=True, name="l2o").start()
        job = Job(function)
        self._last = job
        self._queue.put(job)
        return job


def _work(jobs: queue.SimpleQueue[Job[Any]]) -> None:
    while True:
        jobs.get().run()
