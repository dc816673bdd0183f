"""Processes of this machine as an executor."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import wait
from typing import Any

from l2o.envs.runtime.executor.actor_process import ActorProcess
from l2o.envs.runtime.executor.base import Actor, Numbered, Result, Source, Work
from l2o.envs.runtime.executor.interruptible import Interruptible
from l2o.envs.runtime.executor.messages import Done, Failed, Run, Told, Wanted
from l2o.envs.runtime.executor.worker_process import PATIENCE, WorkerProcess, encoded, end
from l2o.envs.runtime.interrupts import check_interrupts

DRAINING = 1.0
"""Seconds in which what is finished is still taken from workers after something has gone wrong."""


class Processes(Interruptible):
    """Runs pieces in processes of this machine, one torch thread each.

    Processes start when there is work, and stay for the next; each actor has one of its own. As a
    context manager it notes Ctrl-C and raises it where it waits (`deferred_interrupts`): workers
    are ended, and what they had finished is yielded first.

    Functions, and what makes an actor, must be importable: of a module, or of a script that does
    its work under `if __name__ == "__main__":`. A worker may have an executor of its own.

    Args:
        workers: processes that pieces are shared among; actors come on top.

    Raises:
        ValueError: fewer than one.

    Example:
        >>> with Processes(2) as executor:  # doctest: +SKIP
        ...     sorted(executor.map(abs, [-3, 2]))
        [(0, 3), (1, 2)]
    """

    def __init__(self, workers: int) -> None:
        super().__init__(workers)
        self._crew: list[WorkerProcess] = []
        self._actors: list[ActorProcess] = []
        self._busy = False
        self._closed = False

    def share(self, work: Work[Result], source: Source) -> Iterator[Result]:
        """Run the work in each process, and serve the pieces that it asks for."""
        self._refuse_if_closed()
        return self._share(work, source)

    def spawn(self, make: Callable[[], Any]) -> Actor:
        """Begin to make the object in a process of its own."""
        self._refuse_if_closed()
        self._actors.append(ActorProcess(make))
        return self._actors[-1]

    def close(self) -> None:
        """End all processes."""
        self._closed = True
        actors, self._actors = self._actors, []
        crew, self._crew = self._crew, []
        end([*crew, *(each.leave() for each in actors)])

    def _share(self, work: Work[Result], source: Source) -> Iterator[Result]:
        self._refuse_if_closed()
        if self._busy:
            raise RuntimeError(
                "this executor is busy with another map; take all of its results or close it "
                "first, or use an executor for each"
            )
        order = encoded(Run(work), "a function")
        expected = source.expected if isinstance(source, Numbered) else self.workers
        self._busy, finished = True, False
        try:
            crew = self._crew_of(min(self.workers, expected))
            for worker in crew:
                worker.ask(order, "before its first piece")
            yield from _serve(crew, source)
            finished = True
        finally:
            self._busy = False
            if not finished:
                # In the midst of something that nobody wants any more; the next map has new ones.
                crew, self._crew = self._crew, []
                end(crew)

    def _crew_of(self, count: int) -> list[WorkerProcess]:
        """Return so many idle processes, new ones where there are too few."""
        # One that was killed while it had nothing to do has lost nothing.
        end(worker for worker in self._crew if not worker.idle)
        self._crew = [worker for worker in self._crew if worker.idle]
        self._crew += [WorkerProcess() for _ in range(count - len(self._crew))]
        return self._crew[:count]

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise RuntimeError("this executor is closed; make a new one")


def _serve(crew: list[WorkerProcess], source: Source) -> Iterator[Any]:
    """Give workers what they ask for, and yield what they tell, until all have finished.

    What goes wrong is raised once the results that were there by then are yielded.
    """
    left, fault, until = list(crew), None, 0.0
    while left:
        ready = _ready(left, PATIENCE if fault is None else 0.0)
        if fault is not None and not (ready and time.monotonic() < until):
            break
        for worker in ready:
            try:
                message = _hear(worker, source if fault is None else None)
            except (Exception, KeyboardInterrupt) as error:
                fault, until = fault or error, time.monotonic() + DRAINING
                left.remove(worker)
                continue
            if isinstance(message, Told):
                yield message.value
            elif isinstance(message, Done):
                left.remove(worker)
        if fault is None:
            try:
                check_interrupts()
            except KeyboardInterrupt as error:
                fault, until = error, time.monotonic() + DRAINING
    if fault is not None:
        raise fault


def _ready(workers: list[WorkerProcess], patience: float) -> list[WorkerProcess]:
    """Return those that have something to say, or have died."""
    waited = [thing for each in workers for thing in (each.pipe, each.process.sentinel)]
    told = set(wait(waited, timeout=patience))
    return [each for each in workers if each.pipe in told or each.process.sentinel in told]


def _hear(worker: WorkerProcess, source: Source | None) -> Any:
    """Take a message from a worker; give it pieces if it wants some, while there is a source."""
    message = worker.answer()
    if isinstance(message, Failed):
        worker.rest()
        raise message.failure.as_error()
    if isinstance(message, Done):
        worker.rest()
    elif isinstance(message, Wanted) and source is not None:
        given = source.take(message.kind, message.count)
        worker.ask(encoded(given, "a piece of work"), "at", given[1])
    return message
