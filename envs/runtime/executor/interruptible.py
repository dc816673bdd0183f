"""Executors whose workers outlive a Ctrl-C until what they had finished was taken."""

from __future__ import annotations

from contextlib import AbstractContextManager
from types import TracebackType
from typing import Self

from l2o.envs.runtime.executor.base import Executor
from l2o.envs.runtime.interrupts import deferred_interrupts


class Interruptible(Executor):
    """Notes Ctrl-C as a context manager; a subclass raises it where it waits.

    Args:
        workers: how many pieces are at work at once.
    """

    def __init__(self, workers: int) -> None:
        super().__init__(workers)
        self._interrupts: AbstractContextManager[None] | None = None

    def __enter__(self) -> Self:
        """Note Ctrl-C from now on."""
        self._interrupts = deferred_interrupts()
        self._interrupts.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        """End all workers; raise the Ctrl-C that was noted and not yet raised."""
        try:
            self.close()
        finally:
            interrupts, self._interrupts = self._interrupts, None
            kept = interrupts.__exit__(kind, error, trace) if interrupts is not None else None
        return kept
