"""The outermost layer of a server: counts and logs requests, and answers for what fails."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from time import perf_counter
from uuid import uuid4

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from l2o.service.server.errors import Problem
from l2o.service.server.logs import log
from l2o.service.server.metrics import Metrics

QUIET = ("/healthz", "/readyz", "/metrics", "/v1/decide", "/v1/telemetry")
"""Paths asked so often that their requests are counted, and logged only at level debug."""
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
        except Exception:
            reference = uuid4().hex[:12]
            logging.getLogger("l2o.service").exception(
                "a request failed",
                extra={"fields": {"path": scope["path"], "reference": reference}},
            )
            if status:
                raise  # the answer has begun: the connection is cut
            problem = Problem(
                500,
                f"the server failed; its log has the reason under {reference}",
                "try again; report it with the log if it stays",
            )
            await problem.response()(scope, receive, watched)
        finally:
            self._note(scope, status, perf_counter() - begun)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        # The route's pattern, not the path: those are as many as there are sessions.
        route = getattr(scope.get("route"), "path", "other")
        self.metrics.note(route, _method(scope), status, seconds)
        path = scope["path"]
        quiet = path.startswith(QUIET) or path.endswith("/decisions")
        log(
            "request",
            logging.DEBUG if quiet and status < 400 else logging.INFO,
            method=scope["method"],
            path=path,
            status=status,
            ms=round(1000 * seconds, 2),
            who=scope["token"].name if "token" in scope else "",
        )


def _method(scope: Scope) -> str:
    known = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
    return scope["method"] if scope["method"] in known else "other"
