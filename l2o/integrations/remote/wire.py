"""One HTTP connection, as lean as a decision needs it: the standard library's sockets alone."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping
from time import monotonic
from typing import NamedTuple

LONGEST_HEAD = 64 << 10
"""Bytes of the longest head of an answer."""
AT_ONCE = 64 << 10


class WireError(OSError):
    """What comes over a connection is no answer, or ends in the middle of one."""


class Answer(NamedTuple):
    """An answer: status, headers with names in small letters, and body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Wire:
    """A connection that is kept open for one request after the other.

    Args:
        host: where the server is.
        port: likewise.
        secure: whether it speaks TLS.
        end: moment of `time.monotonic` by which the connection must stand.

    Raises:
        OSError: it does not stand by then.
    """

    def __init__(self, host: str, port: int, secure: bool, end: float) -> None:
        self._socket: socket.socket = socket.create_connection((host, port), left(end))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if secure:
            try:
                context = ssl.create_default_context()
                self._socket = context.wrap_socket(self._socket, server_hostname=host)
            except OSError:
                self._socket.close()
                raise
        name = f"[{host}]" if ":" in host else host.encode("idna").decode()
        self._name = name if port == (443 if secure else 80) else f"{name}:{port}"
        self.open = True

    def ask(self, head: str, body: bytes | None, end: float, most: int) -> Answer:
        """Return the answer to a request.

        Args:
            head: method and path, then further headers, each line but the last with its end.
            body: if there is one.
            end: moment by which the answer must be whole.
            most: bytes that it may have.

        Raises:
            TimeoutError: it is not whole by then.
            WireError: it is none, too long, or cut short.
            OSError: the connection failed.
        """
        request, _, more = head.partition("\r\n")
        length = "" if body is None else f"Content-Length: {len(body)}\r\n"
        text = f"{request} HTTP/1.1\r\nHost: {self._name}\r\n{more}{length}\r\n"
        self._socket.settimeout(left(end))
        self._socket.sendall(text.encode("latin-1") + (body or b""))
        return self._read_answer(end, most)

    def close(self) -> None:
        """Close it."""
        self.open = False
        self._socket.close()

    def _read_answer(self, end: float, most: int) -> Answer:
        read, status, headers = b"", 0, dict[str, str]()
        while status < 200:  # what is below only tells that the answer is on its way
            while (at := read.find(b"\r\n\r\n")) < 0:
                if len(read) > LONGEST_HEAD:
                    raise WireError("the answer's head does not end")
                read = self._more(read, end)
            status, headers = _head_of(read[:at])
            read = read[at + 4 :]
        body = self._body(status, headers, read, end, most)
        if headers.get("connection", "").lower() == "close":
            self.close()
        return Answer(status, headers, body)

    def _body(
        self, status: int, headers: Mapping[str, str], read: bytes, end: float, most: int
    ) -> bytes:
        if status in (204, 304):
            return b""
        if "chunked" in headers.get("transfer-encoding", "").lower():
            return self._chunks(read, end, most)
        told = headers.get("content-length")
        if told is None:
            return self._rest(read, end, most)
        if not told.isdigit():
            raise WireError(f"the answer's length is {told!r:.40}")
        return self._exactly(read, int(told), end, most)[0]

    def _exactly(self, read: bytes, length: int, end: float, most: int) -> tuple[bytes, bytes]:
        """Return so many bytes, and those that came after them."""
        if length > most:
            raise WireError(f"the answer has more than {most} bytes")
        parts, there = [read], len(read)
        while there < length:
            parts.append(self._more(b"", end))
            there += len(parts[-1])
        whole = b"".join(parts)
        return whole[:length], whole[length:]

    def _chunks(self, read: bytes, end: float, most: int) -> bytes:
        whole = bytearray()
        while True:
            while b"\r\n" not in read:
                read = self._more(read, end)
            line, _, read = read.partition(b"\r\n")
            try:
                size = int(line.partition(b";")[0], 16)
            except ValueError as error:
                raise WireError(f"a part of the answer has the length {line!r:.40}") from error
            part, read = self._exactly(read, size + 2, end, most)
            whole += part[:-2]
            if len(whole) > most:
                raise WireError(f"the answer has more than {most} bytes")
            if not size:
                return bytes(whole)

    def _rest(self, read: bytes, end: float, most: int) -> bytes:
        """Return what comes until the server closes the connection."""
        try:
            while len(read) <= most:
                read = self._more(read, end)
        except WireError:
            self.close()
            return read
        raise WireError(f"the answer has more than {most} bytes")

    def _more(self, read: bytes, end: float) -> bytes:
        self._socket.settimeout(left(end))
        part = self._socket.recv(AT_ONCE)
        if not part:
            raise WireError("the connection was closed in the middle of an answer")
        return read + part


def left(end: float) -> float:
    """Return the seconds until a moment; TimeoutError if it is over."""
    seconds = end - monotonic()
    if seconds <= 0:
        raise TimeoutError("the time is over")
    return seconds


def _head_of(text: bytes) -> tuple[int, dict[str, str]]:
    lines = text.decode("latin-1").split("\r\n")
    version, _, rest = lines[0].partition(" ")
    if not version.startswith("HTTP/1.") or not rest[:3].isdigit():
        raise WireError(f"an answer begins with {lines[0]!r:.60}")
    pairs = (line.partition(":") for line in lines[1:])
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    if version == "HTTP/1.0":
        headers.setdefault("connection", "close")
    return int(rest[:3]), headers
