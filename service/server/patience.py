"""Connections on which no request comes, or none that ends, are closed."""

from __future__ import annotations

import asyncio
from functools import cache
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from l2o.service.server.settings import Settings


class Patient(HttpToolsProtocol):
    """uvicorn's protocol, which waits for the head of a request only so long.

    Bodies have a time of their own (`l2o.service.server.limits`), and so have connections between
    two requests (uvicorn's `timeout_keep_alive`).
    """

    _waits: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Begin to wait."""
        super().connection_made(transport)
        self._wait()

    def on_message_begin(self) -> None:
        """Begin to wait for the rest of a head."""
        self._wait()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Stop waiting."""
        self._stop_waiting()
        super().on_headers_complete()

    def connection_lost(self, error: Exception | None) -> None:
        """Stop waiting."""
        self._stop_waiting()
        super().connection_lost(error)

    def _wait(self) -> None:
        self._stop_waiting()
        self._waits = self.loop.call_later(_seconds(), self._give_up)

    def _stop_waiting(self) -> None:
        if self._waits is not None:
            self._waits.cancel()
            self._waits = None

    def _give_up(self) -> None:
        self.transport.close()


@cache
def _seconds() -> float:
    return Settings.handed_over().body_seconds
