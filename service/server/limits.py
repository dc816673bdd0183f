"""What one request may take: bytes, seconds, and how many of them in a second."""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from time import monotonic

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from l2o.service.server.errors import Problem
from l2o.service.server.settings import Settings

MOST_CLIENTS = 10_000
"""Clients whose rates are kept in mind; of more, those not heard of longest are forgotten."""
BUNDLES = "/v1/policies"
UPLOADS = "/v1/uploads"


class Rates:
    """Token buckets: each client may ask `rate` times a second, `burst` times at once.

    Example:
        >>> rates = Rates(1.0, 2.0)
        >>> [rates.take("ann", now=0.0) for _ in range(3)], rates.take("ann", now=1.0)
        ([0.0, 0.0, 1.0], 0.0)
    """

    def __init__(self, rate: float, burst: float) -> None:
        self.rate, self.burst = rate, burst
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, client: str, cost: float = 1.0, now: float | None = None) -> float:
        """Take from a client's bucket; return the seconds to wait, 0 where there was enough."""
        now = monotonic() if now is None else now
        left, then = self._left.pop(client, (self.burst, now))
        left = min(self.burst, left + (now - then) * self.rate)
        needed = cost or 1.0
        enough = left >= needed
        if not cost and left >= self.burst:
            return 0.0  # who was only looked at, and has taken nothing, need not be remembered
        self._left[client] = (left - cost if enough else left, now)
        if len(self._left) > MOST_CLIENTS:
            self._left.popitem(last=False)
        return 0.0 if enough else (needed - left) / self.rate

    @property
    def none(self) -> bool:
        """Whether no client has taken anything that it has not got back."""
        before = monotonic() - self.burst / self.rate
        while self._left:
            client, (_, then) = next(iter(self._left.items()))
            if then > before:
                return False
            del self._left[client]  # the one not heard of longest
        return True

    def require(self, client: str, what: str = "requests", cost: float = 1.0) -> None:
        """Refuse a client that has asked too often.

        Args:
            client: who asks.
            what: what there were too many of, for the error.
            cost: what this one counts; 0 only looks.

        Raises:
            Problem: with status 429, and the header that says when to come again.
        """
        seconds = self.take(client, cost)
        if seconds:
            wait = math.ceil(seconds)
            raise Problem(
                429,
                f"too many {what}: more than {self.rate:g} a second",
                f"try again in {wait} s",
                {"Retry-After": str(wait)},
            )


class Limits:
    """Refuses bodies that are too large or too slow, and clients that ask too often.

    Args:
        app: what answers.
        settings: the server's.
        rates: how often each token asks.
    """

    def __init__(self, app: ASGIApp, settings: Settings, rates: Rates) -> None:
        self.app, self.settings, self._rates = app, settings, rates

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request within the limits, or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        most, seconds = allowance(scope["path"], self.settings)
        body = Body(receive, most, seconds)
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            if "token" in scope:
                self._rates.require(scope["token"].name)
            body.check_length(scope)
            await self.app(scope, body.receive, watched)
        except Problem as problem:
            if started:
                raise
            await problem.response()(scope, receive, send)


def allowance(path: str, settings: Settings) -> tuple[int, float]:
    """Return the bytes that a body at this path may have, and the seconds that it may take."""
    if path.startswith(UPLOADS):
        return settings.max_upload, settings.upload_seconds
    if path.startswith(BUNDLES):
        return settings.max_bundle, settings.upload_seconds
    return settings.max_body, settings.body_seconds


def late(seconds: float) -> Problem:
    """Return the problem of a body that did not end in time."""
    return Problem(
        408,
        f"the body was not there within {seconds:g} s",
        "send it faster, or in smaller parts",
        {"Connection": "close"},
    )


class Body:
    """The body of one request, counted and timed while it comes in."""

    def __init__(self, receive: Receive, most: int, seconds: float) -> None:
        self._receive, self._most, self._seconds = receive, most, seconds
        self._deadline = 0.0
        self._read = 0
        self._whole = False

    def check_length(self, scope: Scope) -> None:
        """Refuse a body that says itself that it is too large, before any of it is read."""
        told = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if told.isdigit() and int(told[:20]) > self._most:
            raise self._too_large(f"{told[:20].decode()} bytes")

    async def receive(self) -> Message:
        """Receive the next part; once the body is whole, wait without a limit for the client."""
        if self._whole:
            return await self._receive()
        self._deadline = self._deadline or monotonic() + self._seconds
        try:
            async with asyncio.timeout(self._deadline - monotonic()):
                message = await self._receive()
        except TimeoutError:
            raise late(self._seconds) from None
        if message["type"] == "http.request":
            self._read += len(message.get("body", b""))
            self._whole = not message.get("more_body", False)
            if self._read > self._most:
                raise self._too_large(f"more than {self._most} bytes")
        return message

    def _too_large(self, told: str) -> Problem:
        return Problem(
            413,
            f"the body has {told}, at most {self._most} are taken here",
            "send less, or ask who runs the server for a larger limit",
            {"Connection": "close"},
        )
