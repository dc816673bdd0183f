"""The page of all requests, made from the schema: no scripts, so it works without the internet."""

from __future__ import annotations

from html import escape
from typing import Any

from fastapi import APIRouter, FastAPI
from starlette.responses import HTMLResponse

STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 0 auto; padding: 1rem; }
summary { cursor: pointer; padding: .4rem 0; overflow-wrap: anywhere; }
code { font-family: ui-monospace, monospace; }
td, th { text-align: left; vertical-align: top; padding: .2rem .8rem .2rem 0; }
.method { display: inline-block; min-width: 4.5rem; font-weight: 600; }
"""


def page_routes(app: FastAPI) -> APIRouter:
    """Return the route of the page."""
    router = APIRouter(tags=["operation"])

    @router.get("/docs", include_in_schema=False)
    def docs() -> HTMLResponse:
        """Show all requests."""
        return HTMLResponse(page_of(app.openapi()))

    return router


def page_of(schema: dict[str, Any]) -> str:
    """Return a schema as a page."""
    info = schema["info"]
    parts = [
        f"<h1>{escape(info['title'])} {escape(info['version'])}</h1>",
        f"<p>{escape(info.get('description', ''))}</p>",
        '<p>The schema for programs is <a href="/openapi.json">openapi.json</a>.</p>',
    ]
    by_tag: dict[str, list[str]] = {}
    for path, methods in schema["paths"].items():
        for method, told in methods.items():
            by_tag.setdefault(told.get("tags", ["other"])[0], []).append(
                _operation(method, path, told, schema)
            )
    for tag, operations in by_tag.items():
        parts += [f"<h2>{escape(tag)}</h2>", *operations]
    head = f"<title>l2o: requests</title><style>{STYLE}</style>"
    meta = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    return f'<!doctype html><html lang="en"><head>{meta}{head}</head><body>{"".join(parts)}</body>'


def _operation(method: str, path: str, told: dict[str, Any], schema: dict[str, Any]) -> str:
    rows = [
        (each["name"], each["in"], each.get("description", ""), each.get("required", False))
        for each in told.get("parameters", ())
    ]
    content: dict[str, Any] = told.get("requestBody", {}).get("content", {})
    bodies = [_resolved(each.get("schema", {}), schema) for each in content.values()]
    body = bodies[0] if bodies else {}
    required = body.get("required", ())
    for name, field in body.get("properties", {}).items():
        rows.append((name, "body", field.get("description", ""), name in required))
    cells = "".join(
        f"<tr><td><code>{escape(name)}</code></td><td>{escape(where)}{'' if needed else '?'}</td>"
        f"<td>{escape(about)}</td></tr>"
        for name, where, about, needed in rows
    )
    table = f"<table><tr><th>field</th><th>in</th><th>what it is</th></tr>{cells}</table>"
    name = f'<span class="method">{method.upper()}</span><code>{escape(path)}</code>'
    about = escape(told.get("description", told.get("summary", "")))
    return f"<details><summary>{name}</summary><p>{about}</p>{table if rows else ''}</details>"


def _resolved(part: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    name = str(part.get("$ref", "")).rpartition("/")[2]
    found: dict[str, Any] = schema.get("components", {}).get("schemas", {}).get(name, part)
    return found
