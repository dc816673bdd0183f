"""Pages of runs elsewhere, whose controllers tell what they decide."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from l2o.service.server.dashboard.page_route import page_route
from l2o.service.server.dashboard.rendering import Pages
from l2o.service.server.telemetry.routes import Id
from l2o.service.server.telemetry.store import TelemetryStore

MOST = 100
"""Runs that are listed, those that were heard last."""


def live_pages(pages: Pages, store: TelemetryStore) -> APIRouter:
    """Return the routes of the pages of live controllers."""
    router = APIRouter(route_class=page_route(pages))

    @router.get("/live")
    def all_runs(request: Request) -> Response:
        return pages.show(request, "live", runs=store.runs(MOST), host=request.url.netloc)

    @router.get("/live/{run}")
    def one(request: Request, run: Id) -> Response:
        return pages.show(request, "live_run", run=store.run(run))

    @router.post("/live/{run}/delete")
    def delete(run: Id) -> Response:
        store.remove(run)
        return RedirectResponse("/live", 303)

    return router
