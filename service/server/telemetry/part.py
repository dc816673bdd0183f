"""The part of a server that runs elsewhere tell what they do."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter

from l2o.service.server.base import Context, Part
from l2o.service.server.sweeping import Sweeper
from l2o.service.server.telemetry.routes import telemetry_routes
from l2o.service.server.telemetry.store import TelemetryStore
from l2o.service.server.telemetry.tables import TABLES

SWEEP = 600.0
"""Seconds between two looks for runs that may be forgotten."""


class Telemetry(Part):
    """Takes in events and shows them.

    Attributes:
        store: runs and events.
    """

    tables = TABLES

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.store = TelemetryStore(context.database)
        self._sweeper = Sweeper(self._look, SWEEP, "telemetry")

    def routes(self) -> APIRouter:
        """Return the routes below /v1/telemetry."""
        return telemetry_routes(self.store)

    async def start(self) -> None:
        """Begin to look for runs that may be forgotten."""
        self._sweeper.start()

    async def stop(self) -> None:
        """Stop looking."""
        await self._sweeper.stop()

    async def _look(self) -> None:
        await asyncio.to_thread(self.store.forget_old)
