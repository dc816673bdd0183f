"""Who may ask what: bearer tokens, compared in constant time, for reading or for writing."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import Literal

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from l2o.service.server.errors import Problem
from l2o.service.server.limits import Rates
from l2o.service.server.settings import Settings

Right = Literal["read", "write"]
COOKIE = "l2o_token"
"""The cookie in which a browser keeps its token, see the dashboard's page for signing in."""
OPEN = ("/healthz", "/readyz", "/openapi.json", "/docs", "/static/", "/login", "/favicon.ico")
"""Paths that need no token; those with a slash at the end stand for all below them."""
SHORTEST = 16
"""Characters of the shortest token: what is shorter can be guessed."""
_READING = ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True)
class Token:
    """A token that a server knows.

    Attributes:
        name: what logs and jobs call who has it.
        digest: SHA-256 of the token; the token itself is not kept.
        right: "read", or "write", which is both.
    """

    name: str
    digest: bytes
    right: Right


def parse_tokens(text: str, source: str = "tokens") -> tuple[Token, ...]:
    """Return the tokens of a file: lines `TOKEN [read|write [NAME]]`; `#` begins a comment.

    Raises:
        ValueError: a token that is short or stands twice, a right that is none, no token at all.

    Example:
        >>> [(t.name, t.right) for t in parse_tokens("0123456789abcdef read ann")]
        [('ann', 'read')]
    """
    found: list[Token] = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        where = f"{source}, line {number}"
        if len(words[0]) < SHORTEST:
            raise ValueError(
                f"{where}: a token of {len(words[0])} characters can be guessed; use at least "
                f'{SHORTEST}, such as those of python -c "import secrets; '
                'print(secrets.token_urlsafe(32))"'
            )
        right = words[1] if len(words) > 1 else "write"
        if right not in ("read", "write"):
            raise ValueError(f"{where}: a token's right is read or write, got {right!r}")
        name = " ".join(words[2:]) or f"token-{number}"
        if not re.fullmatch(r"[\w.@ -]{1,64}", name):
            raise ValueError(f"{where}: a name has letters, digits, ._@- and spaces, got {name!r}")
        token = Token(name, _digest(words[0]), "read" if right == "read" else "write")
        if any(token.digest == other.digest for other in found):
            raise ValueError(f"{where}: this token stands in the file twice; remove one line")
        found.append(token)
    if not found:
        raise ValueError(f"{source} holds no token; write lines `TOKEN [read|write [NAME]]`")
    return tuple(found)


def load_tokens(settings: Settings) -> tuple[Token, ...]:
    """Return the tokens of the settings' file; without one, of a token drawn once and kept.

    Raises:
        ValueError: the file cannot be read, or holds no tokens.
    """
    path = token_file(settings)
    if settings.token is None and not path.exists():
        settings.data.mkdir(parents=True, exist_ok=True)
        line = f"{secrets.token_urlsafe(32)} write drawn\n".encode()
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(line)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"--token {path} cannot be read: {error}") from error
    return parse_tokens(text, str(path))


def token_file(settings: Settings) -> Path:
    """Return where the tokens are."""
    return settings.token or settings.data / "token"


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def recognise(given: str, tokens: Iterable[Token]) -> Token | None:
    """Return the token that was given, in a time that does not tell how much of it is right."""
    digest, found = _digest(given), None
    for token in tokens:
        if hmac.compare_digest(token.digest, digest):
            found = token
    return found


class Authentication:
    """Lets through what a token allows; `scope["token"]` is the token.

    A request brings its token as `Authorization: Bearer TOKEN`, or, from a browser, as a cookie;
    then what writes must come from a page of this server.

    Args:
        app: what answers.
        tokens: those that are known.
        failures: wrong tokens, by address.
    """

    def __init__(self, app: ASGIApp, tokens: tuple[Token, ...], failures: Rates) -> None:
        self.app, self.tokens, self._failures = app, tokens, failures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] == "http" and not is_open(scope["path"]):
            try:
                self._admit(scope)
            except Problem as problem:
                if is_page(scope) and problem.status == 401:
                    problem = Problem(303, "sign in first", headers={"Location": "/login"})
                await problem.response()(scope, receive, send)
                return
        await self.app(scope, receive, send)

    def _admit(self, scope: Scope) -> None:
        given, by_cookie = presented(scope)
        if not given:
            raise Problem(
                401,
                "the request has no token",
                "send the header Authorization: Bearer TOKEN",
                {"WWW-Authenticate": "Bearer"},
            )
        address = str((scope.get("client") or ("",))[0])
        self._failures.require(address, "wrong tokens", cost=0.0)
        token = recognise(given, self.tokens)
        if token is None:
            self._failures.require(address, "wrong tokens")
            raise Problem(
                401,
                "the token is not one of this server's",
                "ask who runs the server for a token",
                {"WWW-Authenticate": 'Bearer error="invalid_token"'},
            )
        if scope["method"] not in _READING:
            if token.right != "write":
                raise Problem(
                    403,
                    f"the token of {token.name} may read, and this writes",
                    "use a token with the right to write",
                )
            if by_cookie and not _from_here(Headers(scope=scope)):
                raise Problem(
                    403,
                    "the request comes from a page of another site",
                    "use the dashboard, or send the token as Authorization: Bearer TOKEN",
                )
        scope["token"] = token


def is_open(path: str) -> bool:
    """Tell whether a path needs no token."""
    return any(path.startswith(p) if p.endswith("/") else path == p for p in OPEN)


def is_page(scope: Scope) -> bool:
    """Tell whether a browser asks for a page, so that it can be sent to sign in."""
    accepted = Headers(scope=scope).get("accept", "")
    return scope["method"] == "GET" and "text/html" in accepted and "/v1/" not in scope["path"]


def presented(scope: Scope) -> tuple[str, bool]:
    """Return the token that a request brings, "" for none, and whether it is a cookie's."""
    # Straight from the scope: this is asked at every decision.
    told = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
    scheme, _, given = told.decode("latin-1").partition(" ")
    if scheme.lower() == "bearer" and given.strip():
        return given.strip(), False
    try:
        cookie = SimpleCookie(Headers(scope=scope).get("cookie", "")).get(COOKIE)
    except CookieError:
        cookie = None
    return ("", False) if cookie is None else (cookie.value, True)


def _from_here(headers: Headers) -> bool:
    """Tell whether a browser says that a page of this server made the request."""
    origin = headers.get("origin")
    if origin is not None:
        return origin.partition("://")[2] == headers.get("host")
    return headers.get("sec-fetch-site") == "same-origin"
