"""This process as an executor: for one worker, and to look at what workers do with a debugger."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from l2o.envs.runtime.executor.base import Actor, Executor, Pending, Result, Source, Work
from l2o.envs.runtime.interrupts import check_interrupts
from l2o.envs.runtime.threads import one_thread


class Here(Executor):
    """Runs one piece after another in this process, on one torch thread.

    Results come in the order of the items. Nothing is pickled, so functions may be any, and what
    they change is changed.

    Args:
        workers: as other executors have it; it is one all the same.
    """

    def __init__(self, workers: int = 1) -> None:
        super().__init__(workers)
        self.workers = 1
        self._actors: list[LocalActor] = []
        self._closed = False

    def share(self, work: Work[Result], source: Source) -> Iterator[Result]:
        """Run the work here."""
        self._refuse_if_closed()
        results = work(source.take)
        while True:
            check_interrupts()
            with one_thread():
                try:
                    result = next(results)
                except StopIteration:
                    return
            yield result

    def spawn(self, make: Callable[[], Any]) -> Actor:
        """Make the object here."""
        self._refuse_if_closed()
        self._actors.append(LocalActor(make))
        return self._actors[-1]

    def close(self) -> None:
        """Let go of all actors, and refuse what comes from now on."""
        self._closed = True
        for actor in self._actors:
            actor.close()
        self._actors = []

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise RuntimeError("this executor is closed; make a new one")


class LocalActor(Actor):
    """An object of this process; calls are run at once, and what they raise waits to be asked for.

    Args:
        make: makes the object.
    """

    def __init__(self, make: Callable[[], Any]) -> None:
        self._made: Pending | None = _run(make)

    def call(self, name: str, *arguments: Any) -> Pending:
        """Run a method."""
        if self._made is None:
            raise RuntimeError("this actor is closed; spawn a new one")
        made = self._made
        return _run(lambda: getattr(made.result(), name)(*arguments))

    def close(self) -> None:
        """Let go of the object."""
        self._made = None


class _Here(Pending):
    def __init__(self, value: Any, error: Exception | None) -> None:
        self._value, self._error = value, error

    def result(self) -> Any:
        check_interrupts()
        if self._error is not None:
            raise self._error
        return self._value


def _run(function: Callable[[], Any]) -> Pending:
    try:
        with one_thread():
            return _Here(function(), None)
    except Exception as error:
        return _Here(None, error)
