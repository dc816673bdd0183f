"""The part of a server that controls runs elsewhere."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence

from fastapi import APIRouter

from l2o.service.server.base import Context, Part
from l2o.service.server.hot import HotRoute
from l2o.service.server.logs import log
from l2o.service.server.policies import Policies
from l2o.service.server.policies.batches import Batcher
from l2o.service.server.sessions.answering import Answering, Post
from l2o.service.server.sessions.journal import Journal, share
from l2o.service.server.sessions.routes import hot_route, session_routes
from l2o.service.server.sessions.signing import Signer
from l2o.service.server.sessions.store import SessionStore
from l2o.service.server.sessions.tables import TABLES
from l2o.service.server.sweeping import Sweeper

SWEEP = 60.0
"""Seconds between two looks for sessions that have expired."""
MOVE = 5.0
"""Seconds after which decisions are moved from the journal into the database."""


class Sessions(Part):
    """Opens sessions, answers what is measured in them, and forgets them once they expire.

    Attributes:
        store: the sessions in the database.
    """

    tables = TABLES

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        settings = context.settings
        self.store = SessionStore(context.database, settings.session_seconds, settings.max_sessions)
        self.signer = Signer(settings.data)
        self.gauge = context.metrics.gauge("sessions", "Control sessions that are kept.")
        self._sweeper = Sweeper(self._look, SWEEP, "sessions")
        self._mover = Sweeper(self._move, MOVE, "the journal of decisions")

    def bind(self, parts: dict[type[Part], Part]) -> None:
        """Take note of the policies."""
        policies = parts[Policies]
        assert isinstance(policies, Policies)
        alone = self.context.settings.workers == 1
        folder, database = self.context.settings.data, self.context.database
        self.journal = Journal(folder, database) if alone else None
        self._shared = None if alone else share(folder, database)
        self.store.journal = self.journal
        self.answering = Answering(self.store, policies.store, policies.decisions.inc, self.journal)
        self.batcher: Batcher[Post, Post] = Batcher(self._answer, policies.sizes)
        self._hot = hot_route(self.batcher)

    def _answer(self, posts: Sequence[Post]) -> Sequence[Post | Exception]:
        return self.answering(posts)

    def routes(self) -> APIRouter:
        """Return the routes below /v1/sessions, and /v1/decide."""
        return session_routes(self.store, self.answering, self.batcher, self.signer, self._hot)

    def hot(self) -> list[HotRoute]:
        """Return the route of measurements."""
        return [self._hot]

    async def start(self) -> None:
        """Begin to look for sessions that have expired, and to move what the journal has."""
        self._sweeper.start()
        self._mover.start()

    async def stop(self) -> None:
        """Stop looking, and move the rest."""
        await self._sweeper.stop()
        await self._mover.stop()
        if self.journal is not None:
            await asyncio.to_thread(self.journal.close)
        if self._shared is not None:
            os.close(self._shared)

    async def _look(self) -> None:
        self.gauge.set(self.store.count())
        if gone := self.store.forget_expired():
            log("sessions expired", count=gone)

    async def _move(self) -> None:
        if self.journal is not None:
            self.journal.begin_anew()
            await asyncio.to_thread(self.journal.move)
