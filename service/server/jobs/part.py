"""The part of a server that runs jobs."""

from __future__ import annotations

from fastapi import APIRouter

from l2o.service.server.base import Context, Part
from l2o.service.server.errors import Problem
from l2o.service.server.jobs.base import STATES
from l2o.service.server.jobs.capacity import this_machine
from l2o.service.server.jobs.queue import Queue, path_of_policies
from l2o.service.server.jobs.routes import job_routes
from l2o.service.server.jobs.runner import Runner
from l2o.service.server.jobs.store import JobStore
from l2o.service.server.jobs.system import system_routes
from l2o.service.server.jobs.tables import TABLES
from l2o.service.server.jobs.upload_routes import upload_routes
from l2o.service.server.jobs.uploads import Uploads
from l2o.service.server.policies import Policies


class Jobs(Part):
    """Takes jobs, runs them one after another or side by side, and tells how they are.

    Attributes:
        queue: of the data folder.
        uploads: folders of images that jobs may read.
    """

    tables = TABLES

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        data = context.settings.data.resolve()
        store = JobStore(context.database)
        runner = Runner(store, data, this_machine(), context.settings.allow_code)
        self.queue = Queue(runner, self._folder_of, self._count)
        self.uploads = Uploads(data)
        self.gauge = context.metrics.gauge("jobs", "Jobs in each state.", "state")

    def bind(self, parts: dict[type[Part], Part]) -> None:
        """Take note of the policies, whose names jobs may have."""
        policies = parts.get(Policies)
        assert policies is None or isinstance(policies, Policies)
        self.policies = policies

    def _folder_of(self, name: str) -> str | None:
        if self.policies is None:
            return None
        try:
            stored = self.policies.store.find(name)
        except Problem:
            return None
        if stored.source == "shipped":
            return stored.name
        return path_of_policies(self.context.settings.data, stored.folder)

    def routes(self) -> APIRouter:
        """Return the routes below /v1/jobs, /v1/uploads and /v1/system."""
        router = APIRouter()
        router.include_router(job_routes(self.queue, self.context))
        router.include_router(upload_routes(self.uploads))
        router.include_router(system_routes(self.queue.runner))
        return router

    def _count(self) -> None:
        counts = self.queue.store.count()
        for state in STATES:
            self.gauge.labels(state).set(counts.get(state, 0))

    async def start(self) -> None:
        """Begin to run jobs; those that were running are found again."""
        self.uploads.clean()
        self.queue.start()

    async def stop(self) -> None:
        """Stop looking after jobs; those that run go on."""
        self.queue.stop()

    def trouble(self) -> str | None:
        """Return why jobs cannot be looked after, None if they can."""
        return self.queue.trouble and f"jobs: {self.queue.trouble}"
