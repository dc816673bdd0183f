"""How requests fail: one problem as JSON, with value, rule and remedy; never a traceback."""

from __future__ import annotations

import json
import math
import sqlite3
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Scope

from l2o.extras import MissingExtraError

MEDIA_TYPE = "application/problem+json"
TITLES = {
    400: "bad request",
    401: "who are you",
    403: "not allowed",
    404: "not found",
    405: "no such method here",
    408: "too slow",
    409: "conflict",
    410: "gone",
    413: "too large",
    415: "unsupported media type",
    422: "invalid value",
    429: "too many requests",
    500: "internal error",
    503: "not ready",
}
MOST_SHOWN = 200
"""Characters of a refused value that an answer repeats."""


class Problem(Exception):
    """What is wrong with a request, and what to do about it.

    Args:
        status: HTTP status.
        detail: the value and the rule that it breaks.
        remedy: what the client can do.
        headers: more headers of the answer.
        extra: more fields of the answer, JSON-able.

    Example:
        >>> Problem(404, "there is no session 'x'", "open one with POST /v1/sessions").status
        404
    """

    def __init__(
        self,
        status: int,
        detail: str,
        remedy: str = "",
        headers: dict[str, str] | None = None,
        **extra: Any,
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.remedy = status, detail, remedy
        self.headers, self.extra = headers or {}, extra

    def response(self) -> Response:
        """Return the answer that says so (RFC 9457)."""
        body: dict[str, Any] = {
            "type": "about:blank",
            "title": TITLES.get(self.status, "error"),
            "status": self.status,
            "detail": self.detail,
        }
        if self.remedy:
            body["remedy"] = self.remedy
        return Response(
            json.dumps(plain(body | self.extra), allow_nan=False),
            self.status,
            self.headers,
            MEDIA_TYPE,
        )


def plain(value: Any) -> Any:
    """Return a value as JSON can hold it; numbers that are not finite become text."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set):
        return [plain(each) for each in value]
    if value is None or isinstance(value, str | int | float | bool):
        # A lone surrogate is no text that an answer could hold.
        return value if not isinstance(value, str) else value.encode("utf-8", "replace").decode()
    return str(value)


def shown(value: Any) -> str:
    """Return a value as an error shows it: short, and in one line."""
    text = repr(value)
    return text if len(text) <= MOST_SHOWN else text[:MOST_SHOWN] + "..."


def invalid(errors: list[Any]) -> Problem:
    """Return the problem of a body or parameters that do not validate: each field and its rule."""
    fields = []
    for error in errors[:20]:
        where = ".".join(str(part) for part in error["loc"] if part != "body") or "body"
        told = {"field": where, "rule": str(error["msg"])}
        if error.get("type") != "missing" and "input" in error:
            told["value"] = shown(error["input"])
        fields.append(told)
    first = fields[0]
    value = f", got {first['value']}" if "value" in first else ""
    return Problem(
        422,
        f"{first['field']}: {first['rule']}{value}",
        "correct the fields named in errors; GET /openapi.json has the whole schema",
        errors=fields,
    )


def add_handlers(app: FastAPI) -> None:
    """Let an app answer all that fails with a problem."""

    @app.exception_handler(Problem)
    async def told(request: Request, problem: Problem) -> Response:
        return problem.response()

    @app.exception_handler(RequestValidationError)
    async def not_valid(request: Request, error: RequestValidationError) -> Response:
        return invalid(list(error.errors())).response()

    @app.exception_handler(MissingExtraError)
    async def lacking(request: Request, error: MissingExtraError) -> Response:
        return Problem(503, str(error), "install it on the server").response()

    @app.exception_handler(sqlite3.OperationalError)
    async def busy(request: Request, error: sqlite3.OperationalError) -> Response:
        # Locked by another process for longer than it is waited for, or on a full disk.
        told = f"the database cannot be written or read now: {error}"
        remedy = "try again in a moment; GET /readyz tells whether it can"
        return Problem(503, told, remedy, {"Retry-After": "1"}).response()

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        return of_http(error, request.scope).response()


def of_http(error: HTTPException, scope: Scope) -> Problem:
    """Return the problem that an error of the web framework is."""
    path = shown(scope.get("path", ""))
    remedies = {
        404: "GET /openapi.json lists the paths there are",
        405: "GET /openapi.json lists the methods of each path",
    }
    details = {404: f"there is nothing at {path}", 405: f"{path} has no {scope.get('method')}"}
    detail = str(error.detail)
    if detail in ("Not Found", "Method Not Allowed"):
        detail = details[error.status_code]
    headers = dict(error.headers or {})
    return Problem(error.status_code, detail, remedies.get(error.status_code, ""), headers)
