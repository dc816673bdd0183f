"""A Ray worker as the driver sees it: what was asked of it, and how it died."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any, Protocol

from l2o.envs.runtime.executor.base import WorkerDiedError
from l2o.envs.runtime.executor.worker_process import shown

KEPT = "What was finished is kept: run the same command again to go on (a training with --resume)"


class Maker(Protocol):
    """Starts workers, and tells which have something to say."""

    def __call__(self) -> Handle:
        """Begin to start one."""
        ...

    def ready(self, handles: list[Handle], patience: float) -> list[Handle]:
        """Return those that have something to say, or have died."""
        ...


class Handle:
    """One worker: a handle of a Ray actor, and the one call of it that is not answered yet.

    Args:
        actor: of a `RayWorker`.

    Attributes:
        pending: the call; None: there is none.
        midst: whether it is in the midst of its work, called or not.
        held: pieces in its hands, by name.
        kind: of these.
        shown: what it took last, for the error that tells of its death.
        heard: whether it has said anything since its work began.
        at: what it is doing, where that is no piece.
    """

    def __init__(self, actor: Any) -> None:
        self.actor = actor
        self.pending: Any = None
        self.midst = False
        self.held: dict[Hashable, Any] = {}
        self.kind = ""
        self.shown: Iterable[Any] = ()
        self.heard = False
        self.at = "before its first piece"

    def begin(self, order: Any) -> None:
        """Give it an order: bytes, or a reference to them in the object store."""
        self.shown, self.at, self.midst = (), "before its first piece", True
        self.pending = self.actor.tell.remote(order)

    def tell(self, data: bytes) -> None:
        """Answer it."""
        self.at = "at"
        self.pending = self.actor.tell.remote(data)

    def listen(self) -> None:
        """Ask it to go on telling."""
        self.pending = self.actor.listen.remote()

    def rest(self) -> None:
        """Note that it has nothing to do."""
        self.pending, self.midst, self.shown = None, False, ()

    def fetch(self) -> list[bytes]:
        """Return what it said.

        Raises:
            WorkerDiedError: it has died.
            RuntimeError: it could not be started.
        """
        import ray

        call, self.pending = self.pending, None
        try:
            said: list[bytes] = ray.get(call)
        except ray.exceptions.RayTaskError as error:
            raise RuntimeError(f"a worker of Ray failed: {one_line(error)}") from None
        except ray.exceptions.RayError as error:
            raise self.death(error) from None
        return said

    def death(self, error: Exception) -> Exception:
        """Return the error that tells how it died, at what, and what to do."""
        if getattr(error, "_actor_init_failed", False):
            return RuntimeError(
                f"a worker of Ray could not begin: {one_line(error)}; is the same l2o installed on "
                "every node (docs/cluster.md)?"
            )
        return died(_how(error), f"{self.at} {shown(self.shown)}".rstrip())

    def left(self, code: int) -> WorkerDiedError:
        """Return the error of a worker that something there ended."""
        what = f"{self.at} {shown(self.shown)}".rstrip()
        return WorkerDiedError(
            f"a worker of Ray died (exit code {code}) {what}; something there ended the process; "
            f"what it wrote to stderr, in Ray's logs, may say what. {KEPT}"
        )


def died(how: str, what: str) -> WorkerDiedError:
    """Word the error of a worker that is gone."""
    return WorkerDiedError(
        f"a worker of Ray died ({how}) {what}; perhaps for want of memory: use fewer workers, or "
        "for a crash of compiled code, which one worker of executor: processes tells apart. "
        f"{KEPT}"
    )


def _how(error: Exception) -> str:
    text = str(error)
    found = dict(line.strip().split(": ", 1) for line in text.splitlines() if ": " in line)
    where = f"process {found.get('pid', '?')} on {found.get('ip', 'an unknown node')}"
    if "node" in text and ("died" in text.lower() and "node that" in text.lower()):
        return f"{where}, killed with its node"
    return f"{where}, killed, or crashed"


def one_line(error: Exception) -> str:
    """Return the last line of an error that says something."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:300] if lines else type(error).__name__
