"""The app: all parts of a server, behind limits, tokens and logs."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from l2o import __version__
from l2o.service.server import health
from l2o.service.server.auth import Authentication, load_tokens
from l2o.service.server.base import Context, Part
from l2o.service.server.database import Database
from l2o.service.server.errors import add_handlers
from l2o.service.server.gate import Gate
from l2o.service.server.hot import Hot
from l2o.service.server.limits import Limits
from l2o.service.server.logs import begin_logging, log
from l2o.service.server.metrics import Metrics
from l2o.service.server.parts import PARTS
from l2o.service.server.schema_page import page_routes
from l2o.service.server.settings import Settings
from l2o.service.server.watching import Watching

ABOUT = (
    "Policies, control sessions, telemetry and jobs of l2o. Every path under /v1 needs the header "
    "`Authorization: Bearer TOKEN`; what fails is answered as a problem (RFC 9457) with the value, "
    "the rule and the remedy."
)


def create_app(settings: Settings | None = None) -> FastAPI:
    """Return the app of a server, for any ASGI server.

    Args:
        settings: what to start with; None takes what `l2o serve` left for its processes.

    Raises:
        ValueError: tokens that cannot be used.
        DatabaseError: a database that cannot be used.
    """
    if settings is None:
        settings = Settings.handed_over()
        begin_logging(settings.log_level)
    database = Database(settings.database, [kind.tables for kind in PARTS])
    context = Context(settings, database, Metrics(), load_tokens(settings))
    parts = [kind(context) for kind in PARTS]
    for part in parts:
        part.bind({type(each): each for each in parts})
    app = FastAPI(
        title="l2o",
        version=__version__,
        description=ABOUT,
        lifespan=_lifespan(context, parts),
        docs_url=None,
        redoc_url=None,
    )
    app.state.context = context
    app.state.parts = parts
    add_handlers(app)
    app.include_router(health.routes(context, parts))
    app.include_router(context.metrics.routes())
    app.include_router(page_routes(app))
    for part in parts:
        app.include_router(part.routes())
    gate = Gate.of(context, [route for part in parts for route in part.hot()])
    app.state.gate = gate
    # The last one added is the outermost.
    app.add_middleware(Hot, routes=gate.routes)
    app.add_middleware(Limits, settings=settings, rates=gate.rates)
    app.add_middleware(Authentication, tokens=context.tokens, failures=gate.failures)
    app.add_middleware(Watching, metrics=context.metrics)
    return app


def _lifespan(context: Context, parts: list[Part]):  # type: ignore[no-untyped-def]
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        started: list[Part] = []
        try:
            for part in parts:
                await part.start()
                started.append(part)
            # What is there now stays: looking through it for garbage would hold up decisions.
            gc.collect()
            gc.freeze()
            log("started", data=str(context.settings.data), parts=len(parts))
            yield
        finally:
            context.stopping = True
            for part in reversed(started):
                await part.stop()
            context.database.close()
            log("stopped")

    return lifespan
