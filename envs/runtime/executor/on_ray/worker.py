"""What lives in a Ray worker: the same worker as in a process, asked by calls instead of a pipe."""

from __future__ import annotations

import os
import queue
import signal
import threading
from collections.abc import Mapping
from typing import Any

from l2o.envs.runtime.executor.messages import Left, encode
from l2o.envs.runtime.executor.worker import Worker, use_one_thread

HELD = 8
"""Messages that wait to be fetched before the work waits for that."""
TOGETHER = 0.002
"""Seconds in which what a worker says next still goes along: a result, and the wish for more."""


class RayWorker:
    """Does orders in a thread of its own; calls bring what it is told, and fetch what it says.

    Args:
        environment: variables that it is to find.
        files: content of files by their place in the cache folder; those that are there stay.
    """

    def __init__(
        self, environment: Mapping[str, str], files: Mapping[str, bytes] | None = None
    ) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        # Ray starts workers with it blocked; what they start themselves is not to inherit that.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        os.environ.update(environment)
        use_one_thread()
        lay_out(files or {})
        self._pipe = _Line()
        self._worker = Worker(self._pipe)
        threading.Thread(target=self._live, daemon=True).start()

    def process(self) -> int:
        """Return the number of this process."""
        return os.getpid()

    def tell(self, message: bytes) -> list[bytes]:
        """Hand a message over, and return what comes next."""
        self._pipe.inbox.put(message)
        return self.listen()

    def listen(self) -> list[bytes]:
        """Wait until the worker says something; return that, and what comes with it."""
        said: list[bytes] = []
        while len(said) < HELD:
            try:
                message = self._pipe.outbox.get(timeout=TOGETHER if said else None)
            except queue.Empty:
                break
            if message is not None:
                said.append(message)
            elif said:
                break
        return said

    def _live(self) -> None:
        while True:
            data = self._pipe.recv_bytes()
            try:
                self._worker.obey(data)
            except SystemExit as leaving:
                self._pipe.send_bytes(encode(Left(_code(leaving.code))))


class _Line:
    """Two queues in the place of a pipe; None goes out where nothing comes before an answer."""

    def __init__(self) -> None:
        self.inbox: queue.Queue[bytes] = queue.Queue()
        self.outbox: queue.Queue[bytes | None] = queue.Queue(HELD)

    def recv_bytes(self) -> bytes:
        self.outbox.put(None)
        return self.inbox.get()

    def send_bytes(self, data: bytes) -> None:
        self.outbox.put(data)


def sent_by_value() -> type[Any]:
    """Return a class that makes a `RayWorker` where modules are found as in the program.

    A class of a module travels by its name, and would be looked up before the path is set: Ray puts
    the folder that a program runs in before all others, where a folder of the same name may lie.
    """

    class FirstThePath:
        def __init__(self, folder: str, path: list[str], *given: Any) -> None:
            import os
            import sys

            if os.path.isdir(folder):
                os.chdir(folder)

            sys.path[:] = [*path, *(each for each in sys.path if each not in path)]
            from l2o.envs.runtime.executor.on_ray.worker import RayWorker

            self.worker = RayWorker(*given)

        def process(self) -> int:
            return self.worker.process()

        def tell(self, message: bytes) -> list[bytes]:
            return self.worker.tell(message)

        def listen(self) -> list[bytes]:
            return self.worker.listen()

    return FirstThePath


def lay_out(files: Mapping[str, bytes]) -> None:
    """Write files that this node's cache folder lacks; whole, whoever does so meanwhile."""
    from l2o.envs.runtime.cache_folder import cache_folder
    from l2o.files.atomic import write_atomically

    for place, content in files.items():
        path = cache_folder() / place
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, content)


def _code(code: Any) -> int:
    if code is None:
        return 0
    return code if isinstance(code, int) else 1
