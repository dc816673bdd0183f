"""An object in a process of its own."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from multiprocessing.connection import wait
from typing import Any

from l2o.envs.runtime.executor.base import Actor, Pending, WorkerDiedError
from l2o.envs.runtime.executor.failures import failure_of
from l2o.envs.runtime.executor.messages import Call, Failed, Make, Told
from l2o.envs.runtime.executor.worker_process import PATIENCE, WorkerProcess, encoded, end
from l2o.envs.runtime.interrupts import check_interrupts


class ActorProcess(Actor):
    """An object in a process of its own, which begins to be made at once.

    The process has one call at a time; the others wait here, and go out as answers are asked for:
    so neither side ever waits for the other to empty a pipe.

    Args:
        make: makes the object, there.
    """

    def __init__(self, make: Callable[[], Any]) -> None:
        order = encoded(Make(make), "what makes an actor")
        self.worker = WorkerProcess()
        self.line: deque[_Answer] = deque()
        self._failure: Exception | None = None
        self._closed = False
        self._made = _Answer(self, order, "while it made its object")
        self._join(self._made)

    def call(self, name: str, *arguments: Any) -> Pending:
        """Begin a call, or put it in the line."""
        if self._closed:
            raise RuntimeError("this actor is closed; spawn a new one")
        order = encoded(Call(name, arguments), f"what {name}() is called with")
        answer = _Answer(self, order, f"at {name}()")
        self._join(answer)
        return answer

    def close(self) -> None:
        """End the process."""
        if not self._closed:
            end([self.leave()])

    def leave(self) -> WorkerProcess:
        """Refuse what comes from now on; return the process, to be ended."""
        self._closed = True
        self._failure = self._failure or RuntimeError("this actor is closed; spawn a new one")
        return self.worker

    def _join(self, answer: _Answer) -> None:
        self.line.append(answer)
        if len(self.line) == 1:
            self._send_first()

    def _send_first(self) -> None:
        """Give the first in the line to the process."""
        if self._failure is None:
            first = self.line[0]
            try:
                self.worker.ask(first.order, first.at)
            except Exception as error:
                self._failure = error

    def wait_for(self, answer: _Answer) -> None:
        """Take answers until this one is there; the next goes out as each comes."""
        while not answer.there:
            if self._failure is None:
                self._receive()
            first = self.line.popleft()
            first.there = True
            first.error = first.error or self._failure
            if first is self._made:
                self._failure = first.error
            if self.line:
                self._send_first()

    def _receive(self) -> None:
        """Wait for the answer to the first in the line."""
        first = self.line[0]
        while not wait([self.worker.pipe, self.worker.process.sentinel], timeout=PATIENCE):
            check_interrupts()
        try:
            message = self.worker.answer()
        except WorkerDiedError as error:
            self._failure = error
            return
        except Exception as error:  # what it says cannot be read here
            message = Failed(failure_of(error))
        self.worker.rest()
        if isinstance(message, Failed):
            first.error = message.failure.as_error()
        elif isinstance(message, Told):
            first.value = message.value


class _Answer(Pending):
    def __init__(self, actor: ActorProcess, order: bytes, at: str) -> None:
        self.actor, self.order, self.at = actor, order, at
        self.there = False
        self.value: Any = None
        self.error: Exception | None = None

    def begin(self) -> None:
        line = self.actor.line
        while line and not self.there and line[0] is not self:
            self.actor.wait_for(line[0])

    def result(self) -> Any:
        if not self.there:
            self.actor.wait_for(self)
        if self.error is not None:
            raise self.error
        return self.value
