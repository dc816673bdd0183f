"""What the API tells of jobs, uploads and the machine."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel

from l2o.service.server.jobs.artifacts import Artifact
from l2o.service.server.jobs.base import Job, Needs, State
from l2o.service.server.jobs.commands import COMMANDS
from l2o.service.server.jobs.folder import JobFolder
from l2o.service.server.jobs.rows import Progress
from l2o.service.server.jobs.uploads import Upload


class ProgressAnswer(BaseModel):
    """How far a job is."""

    done: float
    """Units of work."""
    total: float | None
    """Of the whole job; null where only the run itself knows."""
    unit: str
    """In the plural."""
    share: float | None
    """From 0 to 1."""


class JobAnswer(BaseModel):
    """A job."""

    id: str
    command: str
    name: str
    state: State
    reason: str
    """Why it waits or how it ended; "" where there is nothing to say."""
    priority: int
    needs: Needs
    after: list[str]
    attempt: int
    """How often it was started."""
    kills: int
    """How often it was killed by no one who asked for it, since the last retry."""
    max_resumes: int
    cancelling: bool
    """Whether it was asked to stop."""
    cores: list[int]
    gpus: list[int]
    created: float
    """Seconds since the epoch; so are the others."""
    started: float | None
    ended: float | None
    progress: ProgressAnswer | None
    folder: str
    """Its run folder, as configs of other jobs may name it."""


class JobList(BaseModel):
    """Jobs, the newest first."""

    jobs: list[JobAnswer]
    counts: dict[str, int]
    """How many there are in each state."""
    next: str | None
    """What to give as `before` for the jobs that follow; null at the end."""


class ArtifactAnswer(BaseModel):
    """A file of a run."""

    path: str
    bytes: int


class CurvesAnswer(BaseModel):
    """The numbers of a run: name -> [[step, value], ...]."""

    curves: dict[str, list[list[float]]]
    progress: ProgressAnswer | None


class UploadAnswer(BaseModel):
    """An uploaded folder."""

    name: str
    files: int
    bytes: int
    path: str
    """As configs name it."""


class SystemAnswer(BaseModel):
    """What the machine has, and how busy it is."""

    cores: int
    """That jobs may have together."""
    gpus: int
    memory_gib: float
    """That jobs may have together."""
    cores_taken: int
    gpus_taken: int
    memory_taken_gib: float
    """That running jobs asked for."""
    load: float
    """Share of all cores that is busy, from 0 to 1."""
    memory_used: float
    """Share of the machine's memory that is in use."""
    disk_used: float
    """Share of the data folder's disk that is in use."""
    counts: dict[str, int]
    """Jobs in each state."""


def job_answer(job: Job, folder: JobFolder) -> JobAnswer:
    """Return what is told of a job."""
    command = COMMANDS.get(job.command)
    progress = None if command is None else command.progress(folder)
    return JobAnswer(
        id=job.id,
        command=job.command,
        name=job.name,
        state=job.state,
        reason=job.reason,
        priority=job.priority,
        needs=job.needs,
        after=list(job.after),
        attempt=job.attempt,
        kills=job.kills,
        max_resumes=job.max_resumes,
        cancelling=job.cancelling,
        cores=list(job.cores),
        gpus=list(job.gpus),
        created=job.created,
        started=job.started,
        ended=job.ended,
        progress=progress_answer(progress),
        folder=f"jobs/{job.id}/run",
    )


def progress_answer(progress: Progress | None) -> ProgressAnswer | None:
    """Return what is told of how far a job is."""
    if progress is None:
        return None
    return ProgressAnswer(
        done=progress.done, total=progress.total, unit=progress.unit, share=progress.share
    )


def artifact_answers(found: Sequence[Artifact]) -> list[ArtifactAnswer]:
    """Return what is told of a run's files."""
    return [ArtifactAnswer(path=each.path, bytes=each.bytes) for each in found]


def upload_answer(upload: Upload) -> UploadAnswer:
    """Return what is told of an upload."""
    return UploadAnswer(
        name=upload.name, files=upload.files, bytes=upload.bytes, path=f"uploads/{upload.name}"
    )
