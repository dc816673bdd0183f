"""The workers of one map: what each has in its hands, and who takes over what a dead one had."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Hashable, Iterator
from typing import Any

from l2o.envs.runtime.executor.base import Returnable, Source, WorkerDiedError
from l2o.envs.runtime.executor.messages import Done, Failed, Left, Told, Wanted, decode
from l2o.envs.runtime.executor.on_ray.handle import Handle, Maker
from l2o.envs.runtime.executor.worker_process import PATIENCE, encoded
from l2o.envs.runtime.interrupts import check_interrupts

DRAINING = 1.0
"""Seconds in which what is finished is still taken from workers after something has gone wrong."""


class Crew:
    """Workers that take from one source; those that die are replaced.

    A piece is in a worker's hands from when it takes it until it tells its result. What a dead one
    had in its hands goes back to the source, and is taken by another. A result is yielded once: a
    dead worker's comes with the answer that says so, or not at all.

    Args:
        make: starts a worker.
        workers: how many.
        idle: workers of earlier maps, which are taken first.
        replacements: how often a worker that dies over the same piece is replaced.

    Attributes:
        calls: of Ray, so far.
        sent: bytes to the workers.
        received: bytes from them.
        deaths: workers that have died.
    """

    def __init__(self, make: Maker, workers: int, idle: list[Handle], replacements: int) -> None:
        self._make = make
        self._replacements = replacements
        self.all = [*idle, *(make() for _ in range(workers - len(idle)))][:workers]
        self.calls = self.sent = self.received = self.deaths = 0
        self._died: Counter[Hashable] = Counter()
        self._empty = False

    @property
    def idle(self) -> list[Handle]:
        """Those that live and have nothing to do."""
        return [each for each in self.all if not each.midst]

    def serve(self, order: Any, source: Source) -> Iterator[Any]:
        """Run an order in each worker, give them pieces, and yield what they tell."""
        self._order, self._source = order, source
        for each in self.all:
            self._begin(each)
        fault: BaseException | None = None
        until = 0.0
        while busy := [each for each in self.all if each.pending is not None]:
            if fault is None and self._empty and not any(each.heard for each in busy):
                break  # what is left has not even begun, and there is nothing more to do
            ready = self._make.ready(busy, PATIENCE if fault is None else 0.05)
            for worker in ready:
                try:
                    yield from self._hear(worker, fault is None)
                except (Exception, KeyboardInterrupt) as error:
                    fault, until = fault or error, until or time.monotonic() + DRAINING
            if fault is not None and not (ready and time.monotonic() < until):
                break
            if fault is None:
                try:
                    check_interrupts()
                except KeyboardInterrupt as error:
                    fault, until = error, time.monotonic() + DRAINING
        if fault is not None:
            raise fault

    def _begin(self, worker: Handle) -> None:
        self.calls += 1
        worker.held, worker.kind, worker.heard = {}, "", False
        worker.begin(self._order)

    def _hear(self, worker: Handle, serving: bool) -> Iterator[Any]:
        """Take what a worker says; give it pieces if it wants some."""
        try:
            said = worker.fetch()
        except WorkerDiedError as death:
            if not serving:
                self.all.remove(worker)
                return
            self._replace(worker, death)
            return
        worker.heard = True
        self.received += sum(map(len, said))
        for data in said:
            message = decode(data)
            if isinstance(message, Told):
                self._note(worker, message.value)
                yield message.value
            elif isinstance(message, Failed):
                worker.rest()
                raise message.failure.as_error()
            elif isinstance(message, Left):
                raise worker.left(message.code)
            elif isinstance(message, Done):
                worker.rest()
            elif isinstance(message, Wanted):
                if serving:
                    self._give(worker, message)
                return
        if worker.midst:
            self.calls += 1
            worker.listen()

    def _note(self, worker: Handle, result: Any) -> None:
        """Take the piece that a result is of out of a worker's hands."""
        if isinstance(self._source, Returnable):
            name = self._source.piece_of(result)
            if name is not None:
                worker.held.pop(name, None)
                # It lives and gets on: what else it holds has killed nobody yet.
                for each in (name, *worker.held):
                    self._died.pop(each, None)

    def _give(self, worker: Handle, wanted: Wanted) -> None:
        kind, pieces = self._source.take(wanted.kind, wanted.count)
        self._empty = self._empty or (wanted.kind is None and not pieces)
        if isinstance(self._source, Returnable):
            worker.held |= {self._source.name_of(each): each for each in pieces}
        worker.kind, worker.shown = kind, list(pieces)
        data = encoded((kind, pieces), "a piece of work")
        self.calls += 1
        self.sent += len(data)
        worker.tell(data)

    def _replace(self, worker: Handle, death: WorkerDiedError) -> None:
        """Give what a dead worker had in its hands to another.

        Raises:
            WorkerDiedError: it is not known what that is, or it has killed too many.
        """
        self.deaths += 1
        self.all.remove(worker)
        if not isinstance(self._source, Returnable):
            raise death
        held = worker.held or {None: None}
        self._died.update(list(held))
        if any(self._died[name] > self._replacements for name in held):
            raise death
        if worker.held:
            self._source.put_back(worker.kind, list(worker.held.values()))
            self._empty = False
        idle = self.idle
        another = idle[0] if idle else self._make()
        if not idle:
            self.all.append(another)
        self._begin(another)
