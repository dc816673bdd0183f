"""Looking through what is kept, again and again, for what may be forgotten."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from l2o.service.server.logs import log


class Sweeper:
    """Looks every so many seconds, from `start` to `stop`; what goes wrong is logged.

    Args:
        look: one look.
        seconds: between two of them.
        what: is looked through, for the log.
    """

    def __init__(self, look: Callable[[], Awaitable[None]], seconds: float, what: str) -> None:
        self._look, self._seconds, self._what = look, seconds, what
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, in the running loop."""
        self._task = asyncio.create_task(self._sweep())

    async def stop(self) -> None:
        """Stop looking."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _sweep(self) -> None:
        while True:
            try:
                await self._look()
            except Exception as error:  # whatever is wrong now, the next look may work
                log(f"{self._what} could not be looked through", error=str(error))
            await asyncio.sleep(self._seconds)
