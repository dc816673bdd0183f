"""A worker process as its parent sees it: what it is at, how it died, how it is ended."""

from __future__ import annotations

import reprlib
import signal
import time
from collections.abc import Iterable
from typing import Any

from l2o.envs.runtime.executor.base import WorkerDiedError
from l2o.envs.runtime.executor.messages import decode, encode
from l2o.envs.runtime.executor.start import start_worker
from l2o.envs.runtime.interrupts import check_interrupts

PATIENCE = 0.1
"""Seconds that are waited for a worker before Ctrl-C is asked for again."""
GRACE = 5.0
"""Seconds that a worker without work is given to leave by itself."""

_CRASHES = ("SIGSEGV", "SIGBUS", "SIGABRT", "SIGILL", "SIGFPE")


class WorkerProcess:
    """One worker process and the pipe to it.

    Attributes:
        process: of multiprocessing.
        pipe: our end.
        at: what it is doing, for the error that tells of its death; empty if nothing.
    """

    def __init__(self) -> None:
        self.process, self.pipe = start_worker()
        self.at = ""
        self._pieces: Iterable[Any] = ()
        self._heard = False

    @property
    def idle(self) -> bool:
        """Whether it lives and has nothing to do."""
        return not self.at and self.process.is_alive()

    def ask(self, message: bytes, at: str, pieces: Iterable[Any] = ()) -> None:
        """Send what it is to do next.

        Args:
            message: what it is to do.
            at: what that is, should it die of it.
            pieces: shown after it then, and only then: that takes long for large ones.

        Raises:
            WorkerDiedError: it has died.
        """
        self.at, self._pieces = at, pieces
        try:
            self.pipe.send_bytes(message)
        except OSError as error:
            raise self.death() from error

    def rest(self) -> None:
        """Note that it has nothing to do."""
        self.at, self._pieces = "", ()

    def answer(self) -> Any:
        """Return what it says, after `pipe` or `process.sentinel` was ready.

        Raises:
            WorkerDiedError: it has died.
        """
        try:
            if not self.pipe.poll():
                raise EOFError
            data = self.pipe.recv_bytes()
        except (EOFError, OSError) as error:
            raise self.death() from error
        self._heard = True
        return decode(data)

    def death(self) -> WorkerDiedError:
        """Return the error that tells how it died, at what, and what to do.

        Raises:
            KeyboardInterrupt: Ctrl-C was noted, whose doing it may be.
        """
        check_interrupts()
        self.process.join(GRACE)
        how, remedy = _explain(self.process.exitcode, self._heard)
        return WorkerDiedError(
            f"a worker process died (process {self.process.pid}, {how}) {self._doing()}; {remedy}. "
            "What was finished is kept: run the same command again to go on (a training with "
            "--resume)"
        )

    def _doing(self) -> str:
        pieces = shown(self._pieces)
        return f"{self.at} {pieces}" if pieces else self.at or "at rest"

    def __del__(self) -> None:
        """Close the pipe, at whose end a worker leaves."""
        if hasattr(self, "pipe"):
            self.pipe.close()


def shown(pieces: Iterable[Any]) -> str:
    """Return what is at work, short, whatever it is."""
    try:
        return ", ".join(reprlib.repr(piece) for piece in pieces)
    except Exception:  # by a fault of a class that is not ours
        return "something that cannot be shown"


def encoded(message: Any, what: str) -> bytes:
    """Return a message as bytes.

    Raises:
        TypeError: it cannot be pickled.
    """
    try:
        return encode(message)
    except Exception as error:
        raise TypeError(
            f"{what} cannot be sent to a worker process ({error}); use functions and classes of "
            "a module instead of local ones, or executor: here"
        ) from error


def end(workers: Iterable[WorkerProcess]) -> None:
    """End workers: at once, whatever they do; those that do nothing may leave by themselves."""
    workers = list(workers)
    for each in workers:
        if each.idle:
            each.pipe.close()
        else:
            each.process.terminate()
    until = time.monotonic() + GRACE
    for each in workers:
        each.process.join(max(0.0, until - time.monotonic()))
        if each.process.exitcode is None:
            each.process.kill()
            each.process.join()
        each.pipe.close()


def _explain(code: int | None, heard: bool) -> tuple[str, str]:
    """Return how a process ended, and what may help."""
    if code is None:
        return "which closed its pipe", "something there closed files that are not its own"
    if code >= 0:
        how = f"exit code {code}"
        if not heard:
            return how, (
                "it could not begin; what it wrote to stderr says why. A script must do its work "
                'under `if __name__ == "__main__":`'
            )
        return how, "something there ended the process; what it wrote to stderr may say what"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    if name in _CRASHES:
        return f"killed by {name}", (
            "compiled code crashed there; run it in one process (one worker, or executor: here) to "
            "see where"
        )
    return f"killed by {name}", "perhaps for want of memory: use fewer workers"
