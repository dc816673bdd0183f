"""Hot requests, answered where HTTP is read: no task, no middleware, one write.

What a server refuses, and whatever is unusual in a request, goes the ordinary way: through all
middleware, which words the answer. Here only what is admitted at once is taken.
"""

from __future__ import annotations

from functools import partial
from time import perf_counter
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from l2o.service.server.auth import Token
from l2o.service.server.errors import Problem
from l2o.service.server.gate import Gate
from l2o.service.server.hot import JSON, HotRoute
from l2o.service.server.limits import allowance, late
from l2o.service.server.patience import Patient
from l2o.service.server.watching import Asked, failed, note, with_defaults

Headers = list[tuple[bytes, bytes]]
_FINE = with_defaults(JSON)


class _Nobody:
    """An event that nobody waits for."""

    def set(self) -> None:
        """Tell nobody."""


_NOBODY = _Nobody()


class Taken:
    """A request that is answered here; to uvicorn it is a cycle as any other."""

    def __init__(self, route: HotRoute, key: str, token: Token, seconds: float) -> None:
        self.route, self.key, self.token, self.seconds = route, key, token, seconds
        self.begun = perf_counter()
        self.parts: list[bytes] = []
        self.whole = False
        self.keep_alive, self.disconnected, self.response_complete = True, False, False
        self.message_event = _NOBODY

    @property
    def path(self) -> str:
        """The path that was asked."""
        return f"{self.route.prefix}{self.key}{self.route.suffix}"


class Express(Patient):
    """A connection on which hot requests are answered at once."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._gate = _gate_of(self.app)

    def on_headers_complete(self) -> None:
        """Take the request, or let it go the ordinary way."""
        taken = self._take()
        if taken is None:
            super().on_headers_complete()
            return
        self._in_head = False
        self.stop_waiting()
        self.cycle = taken  # type: ignore[assignment]

    def on_body(self, body: bytes) -> None:
        """Collect the body."""
        if isinstance(self.cycle, Taken):
            self.cycle.parts.append(body)
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Answer a request that is whole."""
        taken = self.cycle
        if not isinstance(taken, Taken):
            super().on_message_complete()
            return
        if taken.response_complete:
            return
        taken.whole = True
        self.stop_waiting()
        tell = partial(self._tell, taken)
        try:
            taken.route.begin(taken.key, b"".join(taken.parts), tell)
        except Exception as error:  # a problem, most of all
            tell(error)

    def data_received(self, data: bytes) -> None:
        """Read; wait for the rest of a body. Most are there as a whole, and need no waiting."""
        super().data_received(data)
        taken = self.cycle
        if isinstance(taken, Taken) and not taken.whole and self.waits is None:
            self.wait(taken.seconds, lambda: self._tell(taken, late(taken.seconds)))

    def _take(self) -> Taken | None:
        """Return the request whose head was read, if it is one to be answered here."""
        gate = self._gate
        if gate is None or (self.cycle is not None and not self.cycle.response_complete):
            return None  # of requests sent together, the later ones wait in uvicorn's line
        if self.parser.get_method() != b"POST" or self.flow.write_paused or self.root_path:
            return None
        found = gate.find(self.url)
        if found is None or self.parser.get_http_version() != "1.1":
            return None
        if not self.parser.should_keep_alive():
            return None
        route, key = found
        most, seconds = allowance(route.prefix, gate.settings)
        token = gate.admits(self.headers, most)
        return None if token is None else Taken(route, key, token, seconds)

    def _tell(self, taken: Taken, found: bytes | Exception) -> None:
        """Send an answer, or what kept it from being given."""
        if taken.response_complete:
            return
        taken.response_complete = True
        self.stop_waiting()
        status, headers, body = _worded(found, taken.path)
        if not taken.disconnected and not self.transport.is_closing():
            if not taken.keep_alive:
                headers = [*headers, (b"connection", b"close")]
            self.transport.write(self._written(status, headers, body))
            if any(name == b"connection" for name, _ in headers):
                self.transport.close()
        if self._gate is not None:
            asked = Asked(taken.route.path, "POST", taken.path, taken.token.name)
            note(self._gate.metrics, asked, status, perf_counter() - taken.begun)
        self.on_response_complete()

    def _written(self, status: int, headers: Headers, body: bytes) -> bytes:
        """Return an answer as it goes over the wire."""
        lines = [STATUS_LINE[status]]
        for name, value in (*self.server_state.default_headers, *headers):
            lines += (name, b": ", value, b"\r\n")
        lines += (b"content-length: ", str(len(body)).encode(), b"\r\n\r\n", body)
        return b"".join(lines)


def _worded(found: bytes | Exception, path: str) -> tuple[int, Headers, bytes]:
    """Return status, headers and body of an answer."""
    if isinstance(found, bytes):
        return 200, _FINE, found
    problem = found if isinstance(found, Problem) else failed(path, found)
    response = problem.response()
    own = [header for header in response.raw_headers if header[0] != b"content-length"]
    return response.status_code, with_defaults(own), bytes(response.body)


def _gate_of(app: Any) -> Gate | None:
    """Return the gate of an app, however it is wrapped; None if it is another app."""
    while app is not None:
        gate = getattr(getattr(app, "state", None), "gate", None)
        if isinstance(gate, Gate):
            return gate
        app = getattr(app, "app", None)
    return None
