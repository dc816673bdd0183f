"""The page of uploaded folders."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from l2o.service.server.dashboard.page_route import page_route
from l2o.service.server.dashboard.rendering import Pages
from l2o.service.server.jobs.refusals import answered
from l2o.service.server.jobs.upload_routes import Name
from l2o.service.server.jobs.uploads import Uploads


def upload_pages(pages: Pages, uploads: Uploads) -> APIRouter:
    """Return the routes of the page of uploads."""
    router = APIRouter(route_class=page_route(pages))

    @router.get("/uploads")
    def all_uploads(request: Request) -> Response:
        most = pages.context.settings.max_upload
        return pages.show(request, "uploads", uploads=uploads.all(), most=most)

    @router.post("/uploads/{name}/delete")
    def delete(name: Name) -> Response:
        with answered():
            uploads.delete(name)
        return RedirectResponse("/uploads", 303)

    return router
