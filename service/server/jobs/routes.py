"""The paths below /v1/jobs."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Request, Response
from fastapi.responses import FileResponse, PlainTextResponse, StreamingResponse

from l2o.service.server.base import Context
from l2o.service.server.errors import Problem
from l2o.service.server.jobs.answers import (
    ArtifactAnswer,
    CurvesAnswer,
    JobAnswer,
    JobList,
    artifact_answers,
    job_answer,
    progress_answer,
)
from l2o.service.server.jobs.artifacts import POLICY, SHOWN, artifacts, find_artifact
from l2o.service.server.jobs.base import Job, State
from l2o.service.server.jobs.commands import COMMANDS
from l2o.service.server.jobs.events import MOST_STREAMS, JobListener, Place, stream
from l2o.service.server.jobs.log_text import read_log
from l2o.service.server.jobs.queue import Queue
from l2o.service.server.jobs.refusals import answered
from l2o.service.server.jobs.request import JobRequest
from l2o.service.server.jobs.rows import curves, read_points

Id = Annotated[str, Path(pattern="^[0-9a-f]{12}$", description="A job's id.")]
Limit = Annotated[int, Query(ge=1, le=500)]
MOST_LISTED = 10_000


def job_routes(queue: Queue, context: Context) -> APIRouter:
    """Return the routes of jobs."""
    router = APIRouter(prefix="/v1/jobs", tags=["jobs"])
    _add_asking(router, queue)
    _add_changing(router, queue)
    _add_reading(router, queue)
    _add_listening(router, queue, context)
    return router


def _add_asking(router: APIRouter, queue: Queue) -> None:
    def told(job: Job) -> JobAnswer:
        return job_answer(job, queue.runner.folder(job.id))

    @router.post("", status_code=201)
    def submit(request: JobRequest, response: Response) -> JobAnswer:
        """Queue a job; the same `key` again gives the same job again."""
        with answered():
            job = queue.submit(request)
        response.headers["Location"] = f"/v1/jobs/{job.id}"
        return told(job)

    @router.get("")
    def list_jobs(
        state: Annotated[list[State] | None, Query()] = None,
        limit: Limit = 50,
        before: Annotated[str | None, Query(pattern="^[0-9a-f]{12}$")] = None,
    ) -> JobList:
        """List jobs, the newest first."""
        with answered():
            found = queue.store.select(state or (), limit + 1, before)
        more = len(found) > limit
        found = found[:limit]
        return JobList(
            jobs=[told(job) for job in found],
            counts=queue.store.count(),
            next=found[-1].id if more else None,
        )

    @router.get("/commands")
    def list_commands() -> dict[str, dict[str, Any]]:
        """List the commands that jobs may run, with their presets."""
        return {
            name: {
                "about": command.about,
                "presets": dict(command.presets()),
                "example": command.example,
            }
            for name, command in COMMANDS.items()
        }

    @router.get("/{id}")
    def get(id: Id) -> JobAnswer:
        """Tell of a job."""
        with answered():
            return told(queue.store.get(id))


def _add_changing(router: APIRouter, queue: Queue) -> None:
    def told(job: Job) -> JobAnswer:
        return job_answer(job, queue.runner.folder(job.id))

    @router.post("/{id}/cancel")
    def cancel(id: Id) -> JobAnswer:
        """Cancel a job: one that runs saves what it did, as on Ctrl-C, and can be retried."""
        with answered():
            return told(queue.cancel(id))

    @router.post("/{id}/retry")
    def retry(id: Id) -> JobAnswer:
        """Queue a job again that failed or was cancelled; it goes on from its run folder."""
        with answered():
            return told(queue.retry(id))

    @router.delete("/{id}", status_code=204)
    def delete(id: Id) -> None:
        """Delete a job that has ended, with all that it left."""
        with answered():
            queue.runner.delete(id)


def _add_reading(router: APIRouter, queue: Queue) -> None:
    @router.get("/{id}/config", response_class=PlainTextResponse)
    def config(id: Id) -> PlainTextResponse:
        """Return what the job runs: its config, every field."""
        with answered():
            folder = queue.runner.folder(queue.store.get(id).id)
        return PlainTextResponse(folder.config.read_text(encoding="utf-8"))

    @router.get("/{id}/log", response_class=PlainTextResponse)
    def log(
        id: Id,
        offset: Annotated[int, Query(ge=-(2**40), le=2**40, description="In bytes.")] = 0,
    ) -> PlainTextResponse:
        """Return a piece of what the job printed; `X-Next-Offset` is where the next one begins."""
        with answered():
            folder = queue.runner.folder(queue.store.get(id).id)
        text, following = read_log(folder.log, offset)
        return PlainTextResponse(text, headers={"X-Next-Offset": str(following)})

    @router.get("/{id}/curves")
    def get_curves(id: Id) -> CurvesAnswer:
        """Return the numbers of the run by step, thinned out: losses, scores, learning rates."""
        with answered():
            job = queue.store.get(id)
        folder, command = queue.runner.folder(id), COMMANDS.get(job.command)
        path = None if command is None else command.rows(folder)
        points = [] if path is None else read_points(path)[0]
        progress = None if command is None else command.progress(folder)
        return CurvesAnswer(curves=curves(points), progress=progress_answer(progress))

    @router.get("/{id}/files")
    def files(id: Id) -> list[ArtifactAnswer]:
        """List what the job left in its run folder."""
        with answered():
            queue.store.get(id)
        return artifact_answers(artifacts(queue.runner.folder(id).run))

    @router.get("/{id}/files/{path:path}", response_class=FileResponse)
    def file(id: Id, path: str, download: bool = False) -> FileResponse:
        """Return a file of the run folder; reports and pictures are shown, others are saved."""
        with answered():
            queue.store.get(id)
            found = find_artifact(queue.runner.folder(id).run, path)
        kind = None if download else SHOWN.get(found.suffix.lower())
        headers = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": POLICY}
        if kind is not None:
            return FileResponse(found, media_type=kind, headers=headers)
        return FileResponse(
            found, media_type="application/octet-stream", filename=found.name, headers=headers
        )


def _add_listening(router: APIRouter, queue: Queue, context: Context) -> None:
    open_now = 0

    @router.get("/{id}/events", response_class=StreamingResponse)
    async def events(
        id: Id,
        request: Request,
        after: Annotated[str, Query(max_length=40)] = "",
        last_event_id: Annotated[str, Header(max_length=40)] = "",
    ) -> StreamingResponse:
        """Stream a job's state, numbers and log as server-sent events until it has ended."""
        nonlocal open_now
        with answered():
            queue.store.get(id)
        if open_now >= MOST_STREAMS:
            raise Problem(
                503, f"{MOST_STREAMS} streams are open already", "close some, or ask again later"
            )
        listener = JobListener(queue.runner, id, Place.parse(last_event_id or after))
        open_now += 1

        async def counted() -> Any:
            nonlocal open_now
            try:
                async for each in stream(
                    listener, lambda: context.stopping, request.is_disconnected
                ):
                    yield each
            finally:
                open_now -= 1

        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        return StreamingResponse(counted(), media_type="text/event-stream", headers=headers)
