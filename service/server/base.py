"""What the parts of a server share, and what each of them is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from fastapi import APIRouter

from l2o.service.server.auth import Token
from l2o.service.server.database import Database
from l2o.service.server.hot import HotRoute
from l2o.service.server.metrics import Metrics
from l2o.service.server.settings import Settings


@dataclass
class Context:
    """What every part of a server has at hand.

    Attributes:
        settings: what the server was started with.
        database: its database, with the tables of all parts.
        metrics: its counters.
        tokens: who may ask.
        stopping: whether the server is on its way out.
    """

    settings: Settings
    database: Database
    metrics: Metrics
    tokens: tuple[Token, ...] = ()
    stopping: bool = False


class Part:
    """One part of a server: routes, tables of its own, and what it does in the background.

    Args:
        context: what all parts share. Parts find each other through `bind`.
    """

    tables: ClassVar[str] = ""
    """Statements `CREATE TABLE IF NOT EXISTS ...`, separated by semicolons."""

    def __init__(self, context: Context) -> None:
        self.context = context

    def bind(self, parts: dict[type[Part], Part]) -> None:
        """Take note of the other parts, once all are made."""
        del parts

    def routes(self) -> APIRouter:
        """Return its routes, with their whole paths."""
        return APIRouter()

    def hot(self) -> Sequence[HotRoute]:
        """Return those of its routes that are asked too often for the web framework."""
        return ()

    async def start(self) -> None:
        """Begin what runs in the background."""

    async def stop(self) -> None:
        """End it; what was promised to clients is kept."""

    def trouble(self) -> str | None:
        """Return why it cannot work now, None if it can."""
        return None
