"""Requests to a server, with the standard library alone: one connection, kept open."""

from __future__ import annotations

import json
import os
from time import monotonic
from typing import Any
from urllib.parse import quote, urlsplit

from l2o.integrations.remote.wire import Answer, Wire

TOKEN = "L2O_TOKEN"
"""Environment variable with the token for a server, where none is given."""
MOST_ANSWERED = 64 << 20
"""Bytes of the longest answer that is read."""


class RemoteError(ConnectionError):
    """A server that did not do what it was asked.

    Attributes:
        status: HTTP status of the answer; 0 where there was none.
        again: whether it may work if asked again.
        stale: whether all that failed is a connection that was kept: it may have been closed
            meanwhile, which is no failure.
    """

    def __init__(self, message: str, status: int = 0, stale: bool = False) -> None:
        super().__init__(message)
        self.status, self.stale = status, stale

    @property
    def again(self) -> bool:
        """Whether it may work if asked again: the server is away, busy or failed."""
        return self.status in (0, 408, 429) or self.status >= 500


class Client:
    """Asks one server.

    Args:
        url: where it is, "http://host:port" or with a path before /v1.
        token: for it; None takes the environment variable L2O_TOKEN.
        timeout: seconds that a request may take, until its answer is whole.

    Raises:
        ValueError: a URL that is none.

    Example:
        >>> Client("http://127.0.0.1:8420").address
        ('127.0.0.1', 8420)
    """

    def __init__(self, url: str, token: str | None = None, timeout: float = 2.0) -> None:
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError as error:
            raise ValueError(f"{url!r} is no URL of a server: {error}") from error
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(
                f"{url!r} is no URL of a server; it begins with http:// or https:// and a host, "
                "as http://127.0.0.1:8420"
            )
        self.url = url.rstrip("/")
        self.address = parts.hostname, port or (443 if parts.scheme == "https" else 80)
        self._secure = parts.scheme == "https"
        self._path = quote(parts.path.rstrip("/"), safe="/%~!$&'()*+,;=:@")
        self._token = os.environ.get(TOKEN) if token is None else token
        if self._token and not (self._token.isascii() and self._token.isprintable()):
            raise ValueError("a token has letters, digits and signs, and no line break; check it")
        self.timeout = timeout
        self._wire: Wire | None = None

    def __repr__(self) -> str:
        return f"Client({self.url!r})"

    def __getstate__(self) -> dict[str, Any]:
        # A connection belongs to one process.
        return {**vars(self), "_wire": None}

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        seconds: float | None = None,
        connect: bool = True,
    ) -> Any:
        """Return the answer to a request, JSON as plain data, anything else as bytes.

        Args:
            method: of HTTP.
            path: from /v1 on.
            body: JSON-able, if there is one.
            seconds: that it may take; None: `timeout`.
            connect: whether a connection may be opened. To look up a name may take longer than
                `seconds`; on one that stands, nothing does.

        Raises:
            RemoteError: no answer in time, or one that says what is wrong.
        """
        data = None if body is None else json.dumps(body).encode()
        end = monotonic() + (self.timeout if seconds is None else seconds)
        return self._read(self._send(self._head(method, path, data), data, end, connect), path)

    def _head(self, method: str, path: str, data: bytes | None) -> str:
        lines = [f"{method} {self._path}{path}", "Accept: application/json"]
        if self._token:
            lines.append(f"Authorization: Bearer {self._token}")
        if data is not None:
            lines.append("Content-Type: application/json")
        return "\r\n".join([*lines, ""])

    def _send(self, head: str, data: bytes | None, end: float, connect: bool) -> Answer:
        kept = self._wire is not None
        if not kept and not connect:
            raise RemoteError(f"no connection to {self.url} is open", stale=True)
        try:
            return self._send_once(head, data, end)
        except OSError as error:
            self.close()
            failure = error
        stale = kept and not isinstance(failure, TimeoutError)
        if stale and connect:
            try:
                return self._send_once(head, data, end)
            except OSError as error:
                self.close()
                failure = error
        told = str(failure) or type(failure).__name__
        raise RemoteError(f"{self.url} does not answer: {told}", stale=stale) from failure

    def _send_once(self, head: str, data: bytes | None, end: float) -> Answer:
        if self._wire is None:
            self._wire = Wire(*self.address, self._secure, end)
        answer = self._wire.ask(head, data, end, MOST_ANSWERED)
        if not self._wire.open:
            self._wire = None
        return answer

    def _read(self, answer: Answer, path: str) -> Any:
        data = answer.body
        is_json = "json" in answer.headers.get("content-type", "")
        try:
            told = json.loads(data) if is_json and (data or answer.status == 200) else data
        except ValueError as error:
            raise RemoteError(f"{self.url}{path} answers no JSON: {error}") from error
        if answer.status < 300:
            return told
        problem = told if isinstance(told, dict) else {}
        detail = problem.get("detail", f"status {answer.status}")
        remedy = f"; {problem['remedy']}" if problem.get("remedy") else ""
        raise RemoteError(f"{self.url}{path}: {detail}{remedy}", answer.status)

    def close(self) -> None:
        """Close the connection; the next request opens one."""
        if self._wire is not None:
            self._wire.close()
            self._wire = None
