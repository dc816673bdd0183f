"""What is counted, for Prometheus."""

from __future__ import annotations

import os

from fastapi import APIRouter
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
)
from starlette.responses import Response

SECONDS = (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0)


class Metrics:
    """The counters of one server; each part may add its own to `registry`.

    Attributes:
        registry: where they are.
        requests: answered requests, by route, method and status.
        seconds: how long answers took, by route.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = self.counter("requests", "Answered requests.", "route", "method", "status")
        self.seconds = Histogram(
            "l2o_request_seconds",
            "Seconds until an answer was complete.",
            ("route",),
            buckets=SECONDS,
            registry=self.registry,
        )

        self._noted: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def note(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count an answered request."""
        key = (route, method, status)
        if key not in self._noted:
            counted = self.requests.labels(route, method, str(status))
            self._noted[key] = (counted, self.seconds.labels(route))
        counter, histogram = self._noted[key]
        counter.inc()
        histogram.observe(seconds)

    def counter(self, name: str, about: str, *labels: str) -> Counter:
        """Make a counter `l2o_<name>_total`."""
        return Counter(f"l2o_{name}", about, labels, registry=self.registry)

    def gauge(self, name: str, about: str, *labels: str) -> Gauge:
        """Make a gauge `l2o_<name>`; with several processes it is that of the newest value."""
        return Gauge(
            f"l2o_{name}", about, labels, registry=self.registry, multiprocess_mode="mostrecent"
        )

    def text(self) -> bytes:
        """Return all counters in Prometheus' format, those of all processes together."""
        registry = self.registry
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            registry = CollectorRegistry()
            multiprocess.MultiProcessCollector(registry)
        return generate_latest(registry)

    def routes(self) -> APIRouter:
        """Return the route that shows them."""
        router = APIRouter(tags=["operation"])

        @router.get("/metrics", response_class=Response)
        def metrics() -> Response:
            """Return counters for Prometheus; needs a token that may read."""
            return Response(self.text(), media_type=CONTENT_TYPE_LATEST)

        return router
