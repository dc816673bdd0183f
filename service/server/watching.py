"""The outermost layer of a server: counts and logs requests, and answers for what fails."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from time import perf_counter
from typing import NamedTuple
from uuid import uuid4

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from l2o.service.server.errors import Problem
from l2o.service.server.logs import log, logger
from l2o.service.server.metrics import Metrics

QUIET = ("/healthz", "/readyz", "/metrics", "/v1/decide", "/v1/telemetry")
"""Paths asked so often that their requests are counted, and logged only at level debug."""
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
]


def with_defaults(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return an answer's headers, with those of `HEADERS` that it does not set itself.

    A page sets its own referrer policy: with `no-referrer` browsers send forms from nowhere.
    """
    own = list(headers)
    named = {name.lower() for name, _ in own}
    return [*own, *(each for each in HEADERS if each[0] not in named)]


class Watching:
    """Counts and logs every request; whatever fails is answered with a problem, not a traceback."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, whatever happens."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun, status = perf_counter(), 0

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = with_defaults(message.get("headers", ()))
            await send(message)

        try:
            await self.app(scope, receive, watched)
        except Exception as error:
            problem = failed(scope["path"], error)
            if status:
                raise  # the answer has begun: the connection is cut
            await problem.response()(scope, receive, watched)
        finally:
            # The route's pattern, not the path: those are as many as there are sessions.
            route = getattr(scope.get("route"), "path", "other")
            who = scope["token"].name if "token" in scope else ""
            asked = Asked(route, scope["method"], scope["path"], who)
            note(self.metrics, asked, status, perf_counter() - begun)


class Asked(NamedTuple):
    """What is noted of a request.

    Attributes:
        route: the pattern of its path.
        method: of HTTP.
        path: as it was asked.
        who: the name of the token.
    """

    route: str
    method: str
    path: str
    who: str


def note(metrics: Metrics, asked: Asked, status: int, seconds: float) -> None:
    """Count and log a request that was answered."""
    method = asked.method if asked.method in METHODS else "other"
    metrics.note(asked.route, method, status, seconds)
    quiet = asked.path.startswith(QUIET) or asked.path.endswith("/decisions")
    level = logging.DEBUG if quiet and status < 400 else logging.INFO
    if logger.isEnabledFor(level):
        log(
            "request",
            level,
            method=asked.method,
            path=asked.path,
            status=status,
            ms=round(1000 * seconds, 2),
            who=asked.who,
        )


def failed(path: str, error: Exception) -> Problem:
    """Log an error that nobody expected; return what is told of it."""
    reference = uuid4().hex[:12]
    logger.error(
        "a request failed",
        exc_info=error,
        extra={"fields": {"path": path, "reference": reference}},
    )
    return Problem(
        500,
        f"the server failed; its log has the reason under {reference}",
        "try again; report it with the log if it stays",
    )
