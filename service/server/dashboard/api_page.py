"""The page of the API: its OpenAPI schema, readable without anything from elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from l2o.service.server.dashboard.page_route import page_route
from l2o.service.server.dashboard.rendering import Pages

METHODS = ("get", "put", "post", "delete", "patch")


@dataclass(frozen=True)
class Operation:
    """One thing that can be asked.

    Attributes:
        method: of HTTP.
        path: with its parameters in braces.
        tag: what it belongs to.
        about: what it does.
        parameters: name, where it goes, whether it must be given, what it is.
        body: its schema as text, "" where it has none.
        answers: status and what it means.
    """

    method: str
    path: str
    tag: str
    about: str
    parameters: tuple[tuple[str, str, bool, str], ...]
    body: str
    answers: tuple[tuple[str, str], ...]


def api_page(pages: Pages) -> APIRouter:
    """Return the route of the page of the API."""
    router = APIRouter(route_class=page_route(pages))

    @router.get("/docs")
    def api(request: Request) -> Response:
        schema = request.app.openapi()
        by_tag: dict[str, list[Operation]] = {}
        for each in operations(schema):
            by_tag.setdefault(each.tag, []).append(each)
        return pages.show(request, "api", tags=by_tag, about=schema["info"].get("description", ""))

    return router


def operations(schema: Mapping[str, Any]) -> Iterator[Operation]:
    """Yield what an OpenAPI schema says can be asked, in its order."""
    for path, item in schema.get("paths", {}).items():
        for method in METHODS:
            if method in item:
                yield _operation(schema, method, path, item[method])


def _operation(
    schema: Mapping[str, Any], method: str, path: str, told: Mapping[str, Any]
) -> Operation:
    parameters = tuple(
        (each["name"], each["in"], bool(each.get("required")), each.get("description", ""))
        for each in told.get("parameters", ())
    )
    bodies = told.get("requestBody", {}).get("content", {})
    shown = (f"{kind}\n{_told(schema, of.get('schema', {}))}" for kind, of in bodies.items())
    answers = tuple((code, of.get("description", "")) for code, of in told["responses"].items())
    about = told.get("description") or told.get("summary", "")
    tag = (told.get("tags") or ["other"])[0]
    return Operation(method.upper(), path, tag, about, parameters, "\n".join(shown), answers)


def _told(schema: Mapping[str, Any], part: Any) -> str:
    return json.dumps(_resolved(schema, part, 0), indent=1, ensure_ascii=False)


def _resolved(schema: Mapping[str, Any], part: Any, depth: int) -> Any:
    """Return a part of a schema with what it refers to in place."""
    if isinstance(part, list):
        return [_resolved(schema, each, depth) for each in part]
    if not isinstance(part, dict):
        return part
    name = str(part.get("$ref", "")).rpartition("/")[2]
    if name and depth < 6:
        return _resolved(schema, schema["components"]["schemas"].get(name, {}), depth + 1)
    return {key: _resolved(schema, value, depth) for key, value in part.items() if key != "title"}
