"""Whether the process lives, and whether it can do its work."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel

from l2o.service.server.base import Context, Part
from l2o.service.server.errors import Problem


class Health(BaseModel):
    """That a server lives."""

    status: str = "ok"
    version: str


def routes(context: Context, parts: list[Part]) -> APIRouter:
    """Return the two routes; neither needs a token, and neither tells more than it must."""
    from l2o import __version__

    router = APIRouter(tags=["operation"])

    @router.get("/healthz")
    async def alive() -> Health:
        """Tell that the process lives."""
        return Health(version=__version__)

    @router.get("/readyz")
    def ready() -> Health:
        """Tell that database and all parts can work; status 503 says which cannot."""
        if context.stopping:
            raise Problem(503, "the server is stopping", "ask another one")
        troubles = [context.database.trouble(), *(part.trouble() for part in parts)]
        told = [trouble for trouble in troubles if trouble]
        if told:
            raise Problem(503, "; ".join(told), "see the server's log")
        return Health(version=__version__)

    return router
