"""Connections on which no request comes, or none that ends, are closed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import cache
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from l2o.service.server.settings import Settings


class Patient(HttpToolsProtocol):
    """uvicorn's protocol, which waits for the head of a request only so long.

    Bodies have a time of their own (`l2o.service.server.limits`), and so have connections between
    two requests (uvicorn's `timeout_keep_alive`).
    """

    waits: asyncio.TimerHandle | None = None
    """What ends the waiting for the rest of a request."""
    _in_head = True

    def connection_made(self, transport: Any) -> None:
        """Begin to wait."""
        super().connection_made(transport)
        self.wait(_seconds(), self._give_up)

    def on_message_begin(self) -> None:
        """Take note that a head has begun."""
        self._in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Take note that it has ended."""
        self._in_head = False
        self.stop_waiting()
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """Read; wait for the rest of a head. Most are there as a whole, and need no waiting."""
        super().data_received(data)
        if self._in_head and self.waits is None:
            self.wait(_seconds(), self._give_up)

    def connection_lost(self, error: Exception | None) -> None:
        """Stop waiting."""
        self.stop_waiting()
        super().connection_lost(error)

    def wait(self, seconds: float, over: Callable[[], None]) -> None:
        """Call a function once so many seconds are over, unless `stop_waiting` is called before."""
        self.stop_waiting()
        self.waits = self.loop.call_later(seconds, over)

    def stop_waiting(self) -> None:
        """Stop waiting."""
        if self.waits is not None:
            self.waits.cancel()
            self.waits = None

    def _give_up(self) -> None:
        self.transport.close()


@cache
def _seconds() -> float:
    return Settings.handed_over().body_seconds
