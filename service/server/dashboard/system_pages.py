"""The page of the machine."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from l2o.service.server.dashboard.page_route import page_route
from l2o.service.server.dashboard.rendering import Pages
from l2o.service.server.jobs.queue import Queue
from l2o.service.server.jobs.system import system_answer


def system_pages(pages: Pages, queue: Queue) -> APIRouter:
    """Return the route of the page of the machine."""
    router = APIRouter(route_class=page_route(pages))

    @router.get("/system")
    def system(request: Request) -> Response:
        return pages.show(
            request,
            "system",
            system=system_answer(queue.runner),
            running=queue.store.running(),
            data=str(queue.runner.data),
        )

    return router
