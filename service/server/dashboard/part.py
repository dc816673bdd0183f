"""The part of a server that people look at in a browser."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter
from starlette.responses import FileResponse

from l2o.service.server.base import Context, Part
from l2o.service.server.dashboard.job_pages import job_pages
from l2o.service.server.dashboard.live_pages import live_pages
from l2o.service.server.dashboard.policy_pages import policy_pages
from l2o.service.server.dashboard.rendering import Pages
from l2o.service.server.dashboard.sign_in import sign_in_pages
from l2o.service.server.dashboard.system_pages import system_pages
from l2o.service.server.dashboard.upload_pages import upload_pages
from l2o.service.server.errors import Problem
from l2o.service.server.jobs import Jobs
from l2o.service.server.policies import Policies
from l2o.service.server.telemetry import Telemetry

STATIC = Path(__file__).parent / "static"
KINDS = {
    "style.css": "text/css; charset=utf-8",
    "charts.js": "text/javascript; charset=utf-8",
    "pages.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
"""The files that pages load; there are no others, and none from elsewhere."""


class Dashboard(Part):
    """Serves pages that templates make, and the few files that they load."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.pages = Pages(context)

    def bind(self, parts: dict[type[Part], Part]) -> None:
        """Take note of the parts that it shows."""
        jobs, policies, telemetry = parts[Jobs], parts[Policies], parts[Telemetry]
        assert isinstance(jobs, Jobs)
        assert isinstance(policies, Policies)
        assert isinstance(telemetry, Telemetry)
        self.jobs, self.policies, self.telemetry = jobs, policies, telemetry

    def routes(self) -> APIRouter:
        """Return the routes of all pages."""
        router = APIRouter(include_in_schema=False)
        queue, store = self.jobs.queue, self.policies.store
        router.include_router(sign_in_pages(self.pages))
        router.include_router(job_pages(self.pages, queue, store))
        router.include_router(policy_pages(self.pages, store))
        router.include_router(upload_pages(self.pages, self.jobs.uploads))
        router.include_router(live_pages(self.pages, self.telemetry.store))
        router.include_router(system_pages(self.pages, queue))

        @router.get("/static/{name}")
        def static(name: str) -> FileResponse:
            if name not in KINDS:
                raise Problem(404, f"no file {name[:100]!r}")
            headers = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
            return FileResponse(STATIC / name, media_type=KINDS[name], headers=headers)

        @router.get("/favicon.ico")
        def icon() -> FileResponse:
            return FileResponse(STATIC / "icon.svg", media_type=KINDS["icon.svg"])

        return router
