"""Which requests may be answered at once, where HTTP is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from l2o.service.server.auth import Token, recognise
from l2o.service.server.base import Context
from l2o.service.server.hot import HotRoute, is_json
from l2o.service.server.limits import Rates
from l2o.service.server.metrics import Metrics
from l2o.service.server.settings import Settings

_BEARER = b"bearer "


@dataclass
class Gate:
    """What an app knows of its hot routes; `app.state.gate` is where a connection finds it.

    Args:
        routes: that are hot.
        tokens: who may ask.
        failures: wrong tokens, by address.
        rates: requests, by token.
        settings: the server's.
        metrics: its counters.
    """

    routes: Sequence[HotRoute]
    tokens: Sequence[Token]
    failures: Rates
    rates: Rates
    settings: Settings
    metrics: Metrics

    @classmethod
    def of(cls, context: Context, routes: Sequence[HotRoute]) -> Gate:
        """Return the gate of a server."""
        settings = context.settings
        return cls(
            routes,
            context.tokens,
            Rates(settings.failures / 60.0, settings.failures),
            Rates(settings.rate, 2 * settings.rate),
            settings,
            context.metrics,
        )

    def find(self, url: bytes) -> tuple[HotRoute, str] | None:
        """Return the hot route of a URL, and the key; None if it has none."""
        if b"%" in url or b"?" in url or not url.isascii():
            return None
        path = url.decode()
        for route in self.routes:
            key = route.key(path)
            if key is not None:
                return route, key
        return None

    def admits(self, headers: Sequence[tuple[bytes, bytes]], most: int) -> Token | None:
        """Return the token of a request that may be answered at once, None for any other.

        Args:
            headers: of the request, names in small letters.
            most: bytes that its body may have.
        """
        told: dict[bytes, bytes] = {}
        for name, value in headers:
            if told.setdefault(name, value) is not value:
                return None  # which of two counts is for the framework to say
        length, bearer = told.get(b"content-length", b""), told.get(b"authorization", b"")
        fine = length.isdigit() and len(length) < 12 and int(length) <= most
        if not fine or b"transfer-encoding" in told or b"expect" in told or b"upgrade" in told:
            return None
        if not is_json(told.get(b"content-type", b"")) or not self.failures.none:
            return None
        if bearer[: len(_BEARER)].lower() != _BEARER:
            return None
        token = recognise(bearer[len(_BEARER) :].strip().decode("latin-1"), self.tokens)
        if token is None or token.right != "write" or self.rates.take(token.name):
            return None
        return token
