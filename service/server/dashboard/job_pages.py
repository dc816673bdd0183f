"""Pages of jobs: all of them, one as it goes on, a new one, some side by side."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Query
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from l2o.service.server.dashboard.new_job import NewJob, submitted
from l2o.service.server.dashboard.page_route import page_route
from l2o.service.server.dashboard.rendering import Pages
from l2o.service.server.errors import Problem
from l2o.service.server.jobs.answers import JobAnswer, job_answer
from l2o.service.server.jobs.artifacts import artifacts
from l2o.service.server.jobs.base import STATES, Job, State
from l2o.service.server.jobs.commands import COMMANDS
from l2o.service.server.jobs.log_text import read_log
from l2o.service.server.jobs.queue import Queue
from l2o.service.server.jobs.refusals import answered
from l2o.service.server.jobs.routes import Id
from l2o.service.server.jobs.system import system_answer
from l2o.service.server.policies.store import PolicyStore

LAST_LOG = 64 << 10
"""Bytes of the log that a page begins with."""
MOST_COMPARED = 8


def job_pages(pages: Pages, queue: Queue, policies: PolicyStore) -> APIRouter:
    """Return the routes of the pages of jobs."""
    router = APIRouter(route_class=page_route(pages))
    _add_lists(router, pages, queue)
    _add_new(router, pages, queue, policies)
    _add_one(router, pages, queue)
    return router


def _told(queue: Queue, job: Job) -> JobAnswer:
    return job_answer(job, queue.runner.folder(job.id))


def _add_lists(router: APIRouter, pages: Pages, queue: Queue) -> None:
    @router.get("/")
    def overview(request: Request) -> Response:
        running = [_told(queue, job) for job in queue.store.select(["running", "queued"], 20)]
        ended = [
            _told(queue, job) for job in queue.store.select(["succeeded", "failed", "cancelled"], 8)
        ]
        system = system_answer(queue.runner)
        return pages.show(request, "overview", running=running, ended=ended, system=system)

    @router.get("/jobs")
    def all_jobs(
        request: Request,
        state: State | None = None,
        before: Annotated[str | None, Query(pattern="^[0-9a-f]{12}$")] = None,
    ) -> Response:
        with answered():
            found = queue.store.select([state] if state else [], 51, before)
        return pages.show(
            request,
            "jobs",
            jobs=[_told(queue, job) for job in found[:50]],
            following=found[49].id if len(found) > 50 else None,
            state=state,
            states=STATES,
            counts=queue.store.count(),
        )

    @router.get("/compare")
    def compare(
        request: Request, job: Annotated[list[str] | None, Query(max_length=100)] = None
    ) -> Response:
        chosen = list(dict.fromkeys(job or []))[:MOST_COMPARED]
        with answered():
            found = [_told(queue, queue.store.get(id)) for id in chosen]
        return pages.show(request, "compare", jobs=found, most=MOST_COMPARED)


def _add_new(router: APIRouter, pages: Pages, queue: Queue, policies: PolicyStore) -> None:
    def form(request: Request, asked: NewJob, wrong: str = "", status: int = 200) -> Response:
        return pages.show(
            request,
            "new_job",
            status,
            asked=asked,
            commands=COMMANDS,
            command=COMMANDS[asked.command],
            policies=policies.names(),
            capacity=queue.runner.capacity,
            wrong=wrong,
        )

    @router.get("/jobs/new")
    def new(request: Request, command: str = "finetune", policy: str = "") -> Response:
        if command not in COMMANDS:
            command = "finetune"
        return form(request, NewJob.first(command, policy))

    @router.post("/jobs/new")
    def submit(request: Request, asked: Annotated[NewJob, Form()]) -> Response:
        try:
            with answered():
                job = submitted(queue, asked)
        except Problem as problem:
            known = asked if asked.command in COMMANDS else NewJob.first("finetune")
            return form(request, known, problem.detail, problem.status)
        return RedirectResponse(f"/jobs/{job.id}", 303)


def _add_one(router: APIRouter, pages: Pages, queue: Queue) -> None:
    @router.get("/jobs/{id}")
    def one(request: Request, id: Id) -> Response:
        with answered():
            job = _told(queue, queue.store.get(id))
        folder = queue.runner.folder(id)
        log, offset = read_log(folder.log, -LAST_LOG)
        return pages.show(
            request,
            "job",
            job=job,
            log=log,
            place=f"0.{offset}",
            files=artifacts(folder.run, 200),
            config=folder.config.read_text(encoding="utf-8"),
        )

    @router.post("/jobs/{id}/cancel")
    def cancel(id: Id) -> Response:
        with answered():
            queue.cancel(id)
        return RedirectResponse(f"/jobs/{id}", 303)

    @router.post("/jobs/{id}/retry")
    def retry(id: Id) -> Response:
        with answered():
            queue.retry(id)
        return RedirectResponse(f"/jobs/{id}", 303)

    @router.post("/jobs/{id}/delete")
    def delete(id: Id) -> Response:
        with answered():
            queue.runner.delete(id)
        return RedirectResponse("/jobs", 303)
