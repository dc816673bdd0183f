"""Pages of policies: which there are, and each one's card and picture."""

from __future__ import annotations

import json
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from l2o.service.cards import FIRST, summary
from l2o.service.server.dashboard.measured import Line, Measured, lines
from l2o.service.server.dashboard.page_route import page_route
from l2o.service.server.dashboard.rendering import Pages
from l2o.service.server.policies.store import PolicyStore

_LONG = ("config", "results", "signals")


def policy_pages(pages: Pages, store: PolicyStore) -> APIRouter:
    """Return the routes of the pages of policies."""
    router = APIRouter(route_class=page_route(pages))

    @router.get("/policies")
    def all_policies(request: Request) -> Response:
        found = [store.versions(name)[0] for name in store.names()]
        listed = [(each, *_in_short(each.card())) for each in found]
        return pages.show(request, "policies", policies=listed)

    @router.get("/policies/{key}")
    def one(request: Request, key: str) -> Response:
        stored = store.find(key)
        card = stored.card()
        plain = {k: v for k, v in card.items() if k not in _LONG and k not in FIRST}
        return pages.show(
            request,
            "policy",
            policy=stored,
            versions=store.versions(stored.name),
            card=card,
            known_limits=_listed(card.get("known_limits")),
            plain={name: _told(value) for name, value in plain.items()},
            long={name: _told(card[name]) for name in _LONG if name in card},
            pictures=pictures(card),
        )

    return router


def pictures(card: dict[str, Any]) -> list[tuple[str, list[Line]]]:
    """Return what a benchmark measured of a policy: a picture's lines for each unit."""
    results = card.get("results")
    benchmark = results.get("benchmark") if isinstance(results, dict) else None
    figures = benchmark.get("figures") if isinstance(benchmark, dict) else None
    by_unit: dict[str, list[Measured]] = {}
    for figure in figures if isinstance(figures, list) else ():
        found = Measured.of(figure)
        if found is not None:
            by_unit.setdefault(found.unit, []).append(found)
    return [(unit, lines(of)) for unit, of in by_unit.items()]


def _in_short(card: dict[str, Any]) -> tuple[str, str]:
    """Return what a policy is, and the first sentence of what it is not for."""
    about = summary(card) if card.get("description") else f"Learned on {summary(card)}"
    return about, str(card.get("limits", "")).partition(": ")[0].partition(". ")[0][:300]


def _listed(value: Any) -> list[str]:
    return [str(each) for each in value] if isinstance(value, list) else [str(value)] * bool(value)


def _told(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, indent=1, ensure_ascii=False)
    return text if len(text) < 100_000 else text[:100_000] + "\n..."
