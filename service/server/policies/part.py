"""The part of a server that keeps policies and lets them decide."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter
from prometheus_client import Histogram

from l2o.service.server.base import Context, Part
from l2o.service.server.hot import HotRoute
from l2o.service.server.policies.batches import Batcher, Question, decide
from l2o.service.server.policies.routes import hot_route, policy_routes
from l2o.service.server.policies.store import PolicyStore

SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


class Policies(Part):
    """Lists, gives out, takes in and asks policies.

    Attributes:
        store: the policies.
        batcher: answers observations.
        sizes: how many decisions are taken together.
    """

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.store = PolicyStore(context.settings.data / "policies", context.settings.allow_code)
        self.sizes = Histogram(
            "l2o_batch_size",
            "Decisions taken together.",
            buckets=SIZES,
            registry=context.metrics.registry,
        )
        self.decisions = context.metrics.counter("decisions", "Decisions taken.")
        self.batcher: Batcher[Question, Question] = Batcher(self._answer, self.sizes)
        self._hot = hot_route(self.store, self.batcher)

    def _answer(self, questions: Sequence[Question]) -> Sequence[Question]:
        decide(questions)
        self.decisions.inc(len(questions))
        return questions

    async def start(self) -> None:
        """Load the shipped policies now, so that no request has to wait for them."""
        for name in self.store.names():
            stored = self.store.versions(name)[0]
            if stored.source == "shipped":
                self.store.load(stored)

    def routes(self) -> APIRouter:
        """Return the routes below /v1/policies."""
        return policy_routes(self.store, self._hot)

    def hot(self) -> list[HotRoute]:
        """Return the route that asks a policy."""
        return [self._hot]
