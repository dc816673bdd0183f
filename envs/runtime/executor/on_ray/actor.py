"""An object in a Ray worker of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from l2o.envs.runtime.executor.base import Actor, Pending, WorkerDiedError
from l2o.envs.runtime.executor.messages import Call, Done, Failed, Left, Make, Told, decode
from l2o.envs.runtime.executor.on_ray.handle import Handle
from l2o.envs.runtime.executor.worker_process import PATIENCE, encoded
from l2o.envs.runtime.interrupts import check_interrupts


class RayActor(Actor):
    """An object in a Ray worker, which begins to be made at once; Ray keeps the calls in order.

    Args:
        worker: a handle of a `RayWorker`.
        make: makes the object, there.
    """

    def __init__(self, worker: Any, make: Callable[[], Any]) -> None:
        import ray

        self.worker = worker
        self.failure: Exception | None = None
        self._closed = False
        order = ray.cloudpickle.dumps(Make(make))
        self._made = _Answer(self, order, "while it made its object")

    def call(self, name: str, *arguments: Any) -> Pending:
        """Begin a call; it waits in the worker's line."""
        if self._closed:
            raise RuntimeError("this actor is closed; spawn a new one")
        order = encoded(Call(name, arguments), f"what {name}() is called with")
        return _Answer(self, order, f"at {name}()", after=self._made)

    def close(self) -> None:
        """End the worker."""
        import ray

        if not self._closed and ray.is_initialized():
            ray.kill(self.worker)
        self._closed = True
        self.failure = self.failure or RuntimeError("this actor is closed; spawn a new one")


class _Answer(Pending):
    def __init__(
        self, actor: RayActor, order: bytes, at: str, after: _Answer | None = None
    ) -> None:
        self.actor, self.at, self.after = actor, at, after
        self.call = actor.worker.tell.remote(order)
        self.there = False
        self.value: Any = None
        self.error: Exception | None = None

    def result(self) -> Any:
        if self.after is not None:
            self.after.result()
        if not self.there:
            self._fetch()
        if self.error is not None:
            raise self.error
        return self.value

    def _fetch(self) -> None:
        import ray

        while self.actor.failure is None and not ray.wait([self.call], timeout=PATIENCE)[0]:
            check_interrupts()
        handle = Handle(self.actor.worker)
        handle.pending, handle.at = self.call, self.at
        try:
            if self.actor.failure is not None:
                raise self.actor.failure
            self._read(handle, decode(handle.fetch()[0]))
        except WorkerDiedError as error:
            self.actor.failure = self.error = error
        except Exception as error:
            self.error = error
        self.there = True

    def _read(self, handle: Handle, message: Any) -> None:
        if isinstance(message, Failed):
            self.error = message.failure.as_error()
        elif isinstance(message, Left):
            raise handle.left(message.code)
        elif isinstance(message, Told):
            self.value = message.value
        else:
            assert isinstance(message, Done)
