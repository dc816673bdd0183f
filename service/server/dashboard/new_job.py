"""The form for a new job, and the request that it becomes."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from l2o.service.server.errors import invalid
from l2o.service.server.jobs.base import Job
from l2o.service.server.jobs.commands import COMMANDS
from l2o.service.server.jobs.queue import Queue
from l2o.service.server.jobs.request import JobRequest

Short = Annotated[str, Field(max_length=200)]


class NewJob(BaseModel):
    """What the form holds, as it was typed."""

    command: Short = "finetune"
    config: Annotated[str, Field(max_length=262_144)] = ""
    name: Short = ""
    priority: Short = "0"
    cores: Short = "1"
    gpus: Short = "0"
    memory_gib: Short = "4"
    after: Annotated[str, Field(max_length=2000)] = ""

    @classmethod
    def first(cls, command: str, policy: str = "") -> NewJob:
        """Return what the form of a command begins with.

        Args:
            command: one of `COMMANDS`.
            policy: the policy of a fine-tune, "" for that of the example.
        """
        config = COMMANDS[command].example
        if policy and command == "finetune":
            config = f"extends: digits\nchoice:\n  policy: {policy}\n"
        return cls(command=command, config=config)


def submitted(queue: Queue, asked: NewJob) -> Job:
    """Queue what a form asks for.

    Raises:
        Problem: a number that is none; besides, what `submitting.submit` raises.
    """
    request: dict[str, Any] = {
        "command": asked.command,
        "config": asked.config.replace("\r\n", "\n"),
        "name": asked.name.strip(),
        "priority": asked.priority.strip() or "0",
        "after": [word for word in re.split(r"[\s,]+", asked.after) if word],
        "needs": {
            "cores": asked.cores.strip() or "1",
            "gpus": asked.gpus.strip() or "0",
            "memory_gib": asked.memory_gib.strip() or "4",
        },
    }
    try:
        checked = JobRequest.model_validate(request)
    except ValidationError as error:
        raise invalid(list(error.errors(include_url=False, include_context=False))) from error
    return queue.submit(checked)
