"""Paths that are asked thousands of times a second, answered without the web framework's detour.

Each of them is a route of the framework, too, where its page tells of it: both call the same
function, so that they answer the same. A server of ours answers them sooner still, where HTTP is
read (`express.py`); `Hot` is for what is not taken there, and for any other ASGI server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from starlette.types import ASGIApp, Receive, Scope, Send

from l2o.service.server.errors import Problem

Tell = Callable[[bytes | Exception], None]
"""What is called with an answer, as JSON, or with what kept it from being given."""
Begin = Callable[[str, bytes, Tell], None]
JSON = [(b"content-type", b"application/json")]


@dataclass(frozen=True)
class HotRoute:
    """A path `prefix + KEY + suffix` to which JSON is posted.

    Attributes:
        prefix: before the key.
        suffix: after it.
        begin: begins to answer key and body; raises Problem, or calls back, in the same thread.
    """

    prefix: str
    suffix: str
    begin: Begin

    @property
    def path(self) -> str:
        """The pattern, for logs and counters."""
        return f"{self.prefix}{{key}}{self.suffix}"

    def key(self, path: str) -> str | None:
        """Return the key of a path; None if it is another route's."""
        if not (path.startswith(self.prefix) and path.endswith(self.suffix)):
            return None
        key = path[len(self.prefix) : -len(self.suffix)]
        return key if 0 < len(key) <= 100 and "/" not in key else None

    async def answer(self, key: str, body: bytes) -> bytes:
        """Return the answer; raises Problem."""
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        def tell(found: bytes | Exception) -> None:
            if future.cancelled():
                return
            if isinstance(found, Exception):
                future.set_exception(found)
            else:
                future.set_result(found)

        self.begin(key, body, tell)
        return await future


class Hot:
    """Answers hot paths, and passes on all others."""

    def __init__(self, app: ASGIApp, routes: Sequence[HotRoute]) -> None:
        self.app, self.routes = app, routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "http" and scope["method"] == "POST":
            for route in self.routes:
                key = route.key(scope["path"])
                if key is not None:
                    scope["route"] = route
                    await _answer(route, key, scope, receive, send)
                    return
        await self.app(scope, receive, send)


async def _answer(route: HotRoute, key: str, scope: Scope, receive: Receive, send: Send) -> None:
    kind = next((value for name, value in scope["headers"] if name == b"content-type"), b"")
    try:
        if not is_json(kind):
            raise Problem(415, f"the body is {kind[:100].decode('latin-1')!r}", "send JSON")
        answer = await route.answer(key, await whole_body(receive))
    except Problem as problem:
        await problem.response()(scope, receive, send)
        return
    length = (b"content-length", str(len(answer)).encode())
    await send({"type": "http.response.start", "status": 200, "headers": [*JSON, length]})
    await send({"type": "http.response.body", "body": answer})


def is_json(kind: bytes) -> bool:
    """Tell whether a body of this content type is read: it is JSON, or of no type."""
    return not kind or kind.partition(b";")[0].strip().lower() == b"application/json"


async def whole_body(receive: Receive) -> bytes:
    """Return the body; Problem if the client left in the middle of it."""
    parts = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Problem(400, "the client left before the body was whole", "send it again")
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)
