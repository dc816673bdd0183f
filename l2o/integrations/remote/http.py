"""Requests to a server, with the standard library alone: one connection, kept open."""

from __future__ import annotations

import http.client
import json
import os
import ssl
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

TOKEN = "L2O_TOKEN"
"""Environment variable with the token for a server, where none is given."""
MOST_ANSWERED = 64 << 20
"""Bytes of the longest answer that is read."""


class RemoteError(ConnectionError):
    """A server that did not do what it was asked.

    Attributes:
        status: HTTP status of the answer; 0 where there was none.
        again: whether it may work if asked again.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status

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
        self._secure, self._path = parts.scheme == "https", parts.path.rstrip("/")
        self._token = os.environ.get(TOKEN) if token is None else token
        self.timeout = timeout
        self._connection: http.client.HTTPConnection | None = None

    def __repr__(self) -> str:
        return f"Client({self.url!r})"

    def __getstate__(self) -> dict[str, Any]:
        # A connection belongs to one process.
        return {**vars(self), "_connection": None}

    def ask(self, method: str, path: str, body: object = None, seconds: float | None = None) -> Any:
        """Return the answer to a request, JSON as plain data, anything else as bytes.

        Args:
            method: of HTTP.
            path: from /v1 on.
            body: JSON-able, if there is one.
            seconds: that it may take; None: `timeout`.

        Raises:
            RemoteError: no answer in time, or one that says what is wrong.
        """
        data = None if body is None else json.dumps(body).encode()
        end = monotonic() + (self.timeout if seconds is None else seconds)
        kept = self._connection is not None
        try:
            return self._ask_once(method, path, data, end)
        except (http.client.HTTPException, OSError) as error:
            self.close()
            if isinstance(error, RemoteError):
                raise
            # A connection that was kept may have been closed meanwhile: that is no failure.
            if kept and not isinstance(error, TimeoutError):
                try:
                    return self._ask_once(method, path, data, end)
                except (http.client.HTTPException, OSError) as second:
                    self.close()
                    if isinstance(second, RemoteError):
                        raise
                    error = second
            told = str(error) or type(error).__name__
            raise RemoteError(f"{self.url} does not answer: {told}") from error

    def _ask_once(self, method: str, path: str, data: bytes | None, end: float) -> Any:
        connection = self._connected(_left(end))
        headers = {"Accept": "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        if data is not None:
            headers["Content-Type"] = "application/json"
        connection.request(method, self._path + path, data, headers)
        _limit(connection, _left(end))
        answer = connection.getresponse()
        whole = bytearray()
        while part := answer.read1(1 << 16):
            whole += part
            if len(whole) > MOST_ANSWERED:
                raise RemoteError(f"{self.url}{path} answers more than {MOST_ANSWERED} bytes")
            _limit(connection, _left(end))
        if answer.length:  # `read1` says nothing of an answer that is cut short
            raise http.client.IncompleteRead(bytes(whole), answer.length)
        answer.close()
        return self._read(answer, bytes(whole), path)

    def _connected(self, seconds: float) -> http.client.HTTPConnection:
        if self._connection is None:
            if self._secure:
                context = ssl.create_default_context()
                made: http.client.HTTPConnection = http.client.HTTPSConnection(
                    *self.address, timeout=seconds, context=context
                )
            else:
                made = http.client.HTTPConnection(*self.address, timeout=seconds)
            self._connection = made
        _limit(self._connection, seconds)
        return self._connection

    def _read(self, answer: http.client.HTTPResponse, data: bytes, path: str) -> Any:
        is_json = "json" in (answer.headers.get("content-type") or "")
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
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _left(end: float) -> float:
    """Return the seconds until a moment; TimeoutError if it is over."""
    left = end - monotonic()
    if left <= 0:
        raise TimeoutError("the time is over")
    return left


def _limit(connection: http.client.HTTPConnection, seconds: float) -> None:
    connection.timeout = seconds
    if connection.sock is not None:
        connection.sock.settimeout(seconds)
