"""The life of a worker process: settle, then do what is asked until nobody is there to ask."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from multiprocessing.connection import Connection
from typing import Any, Protocol

from l2o.envs.runtime.executor.failures import failure_of
from l2o.envs.runtime.executor.messages import (
    Call,
    Done,
    Failed,
    Make,
    Run,
    Told,
    Wanted,
    decode,
    encode,
)


def serve(pipe: Connection) -> None:
    """Do what comes through the pipe until it is closed; what fails is told."""
    settle()
    worker = Worker(pipe)
    while True:
        try:
            data = pipe.recv_bytes()
        except (EOFError, OSError):
            return
        try:
            worker.obey(data)
        except _Gone:
            return


def settle() -> None:
    """Make this process a worker: one torch thread, deaf to Ctrl-C, gone when its parent is.

    Ctrl-C is for the parent, which keeps what is finished and then ends its workers. A worker whose
    parent was killed would finish what nobody waits for, so it ends itself.
    """
    use_one_thread()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        # It was born with SIGINT blocked; what it starts itself is not to inherit that.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def use_one_thread() -> None:
    """Hold torch to one thread where it is loaded; later, it finds that in its environment.

    It takes seconds to load, and not all that is run computes with it.
    """
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


def _exit_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


class _Gone(BaseException):
    """Nobody is there to answer; no `except Exception` of what is run may keep it."""


class Pipe(Protocol):
    """What orders come by, and answers go."""

    def recv_bytes(self) -> bytes:
        """Wait for the next message."""
        ...

    def send_bytes(self, data: bytes) -> None:
        """Send one."""
        ...


class Worker:
    """Does what it is ordered to, wherever it is.

    Args:
        pipe: what it asks for pieces by, and tells results.
    """

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self._made: Any = None

    def obey(self, data: bytes) -> None:
        """Do what an order says, and tell how it ended."""
        answer: bytes | Done | Failed
        try:
            order = decode(data)
            use_one_thread()  # what is unpickled is imported
            answer = self._do(order)
        except Exception as error:
            answer = Failed(failure_of(error))
        self._say(encode(answer) if isinstance(answer, Done | Failed) else answer)

    def _do(self, order: Any) -> Done | bytes:
        if isinstance(order, Run):
            for result in order.work(self._take):
                self._say(_told(result))
        elif isinstance(order, Make):
            self._made = order.make()
        elif isinstance(order, Call):
            return _told(getattr(self._made, order.name)(*order.arguments))
        return Done()

    def _take(self, kind: str | None, count: int) -> tuple[str, list[Any]]:
        self._say(encode(Wanted(kind, count)))
        try:
            data = self._pipe.recv_bytes()
        except (EOFError, OSError) as error:
            raise _Gone from error
        given: tuple[str, list[Any]] = decode(data)
        return given

    def _say(self, message: bytes) -> None:
        try:
            self._pipe.send_bytes(message)
        except OSError as error:
            raise _Gone from error


def _told(result: Any) -> bytes:
    try:
        return encode(Told(result))
    except Exception as error:
        raise TypeError(
            f"a result of type {_kind(result)} cannot be sent to the caller ({error}); "
            "return what pickle takes: numbers, arrays, tensors, classes of modules"
        ) from error


def _kind(result: Any) -> str:
    if isinstance(result, tuple):
        return f"({', '.join(type(each).__qualname__ for each in result)})"
    return type(result).__qualname__
