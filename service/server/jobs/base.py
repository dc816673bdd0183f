"""What a job is: a command, what it needs of the machine, and where it stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from pydantic import Field

from l2o.configs.base import Strict

State = Literal["queued", "running", "succeeded", "failed", "cancelled"]
STATES: tuple[State, ...] = get_args(State)
ENDED: frozenset[State] = frozenset({"succeeded", "failed", "cancelled"})
"""States that only a retry leads out of."""


class UnknownJobError(LookupError):
    """A job that is asked for and is not there."""

    def __init__(self, id: str) -> None:
        super().__init__(f"no job {id!r}; GET /v1/jobs lists those there are")


class JobStateError(ValueError):
    """What is asked of a job cannot be done in the state that it is in."""


class Needs(Strict):
    """What a job may use of the machine; it starts when that much is free."""

    cores: Annotated[int, Field(ge=1, le=4096)] = 1
    """Processor cores; the job's processes are held to them."""
    gpus: Annotated[int, Field(ge=0, le=64)] = 0
    """GPUs; the job sees no others."""
    memory_gib: Annotated[float, Field(gt=0.0, le=65_536.0)] = 4.0
    """Memory of all its processes together, in GiB; a job that takes more is stopped and fails."""


@dataclass(frozen=True)
class Job:
    """A job as the store has it.

    Attributes:
        id: that its folder is named by.
        command: of the command line.
        name: for people.
        priority: higher ones start earlier.
        needs: of the machine.
        after: ids of jobs that must succeed before.
        state: one of `STATES`.
        reason: why it waits or how it ended, in a sentence; "" where there is nothing to say.
        attempt: how often it was started.
        kills: how often it was killed by no one who asked for it, since the last retry.
        max_resumes: how many of these it is started again after.
        cancelling: whether somebody asked that it stop.
        cores: numbers of the cores that it runs on.
        gpus: numbers of the GPUs that it sees.
        created: seconds since the epoch; so are the others.
        started: when first; None before.
        ended: when; None before.
    """

    id: str
    command: str
    name: str
    priority: int
    needs: Needs
    after: tuple[str, ...]
    state: State
    reason: str
    attempt: int
    kills: int
    max_resumes: int
    cancelling: bool
    cores: tuple[int, ...]
    gpus: tuple[int, ...]
    created: float
    started: float | None
    ended: float | None

    @property
    def has_ended(self) -> bool:
        """Whether it is over."""
        return self.state in ENDED
