"""A job as it goes on: server-sent events of its state, its numbers and its log."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from starlette.concurrency import run_in_threadpool

from l2o.service.server.jobs.answers import job_answer
from l2o.service.server.jobs.commands import COMMANDS
from l2o.service.server.jobs.log_text import read_log
from l2o.service.server.jobs.rows import read_points
from l2o.service.server.jobs.runner import Runner

PAUSE = 0.5
"""Seconds between looks at a job."""
BEAT = 15.0
"""Seconds of silence after which a comment tells that the stream lives."""
MOST_STREAMS = 200
"""Streams of one process at once."""


@dataclass
class Place:
    """Up to where a listener has heard: bytes of the rows and of the log.

    Example:
        >>> Place.parse("120.4000")
        Place(rows=120, log=4000)
    """

    rows: int = 0
    log: int = 0

    @classmethod
    def parse(cls, text: str) -> Place:
        """Return what `str` gave; the beginning for anything else."""
        rows, _, log = text.partition(".")
        if rows.isdecimal() and log.isdecimal() and len(text) < 40:
            return cls(int(rows), int(log))
        return cls()

    def __str__(self) -> str:
        return f"{self.rows}.{self.log}"


def event(kind: str, data: Any, place: Place | None = None) -> str:
    """Return one event as it is sent.

    Example:
        >>> event("log", {"text": "hello"})
        'event: log\\ndata: {"text": "hello"}\\n\\n'
    """
    id = "" if place is None else f"id: {place}\n"
    return f"event: {kind}\n{id}data: {json.dumps(data)}\n\n"


class JobListener:
    """Looks at one job again and again, and tells what is new.

    Args:
        runner: of the data folder.
        id: of the job.
        place: up to where its listener has heard.
    """

    def __init__(self, runner: Runner, id: str, place: Place) -> None:
        self.runner, self.id, self.place = runner, id, place
        self._told = ""
        self._before = 0

    def look(self) -> tuple[list[str], bool]:
        """Return events of what is new, and whether the job has ended and all is told.

        Raises:
            UnknownJobError: the job is not, or no longer, there.
        """
        job, folder = self.runner.store.get(self.id), self.runner.folder(self.id)
        found = []
        state = job_answer(job, folder).model_dump_json()
        if state != self._told:
            self._told = state
            found.append(f"event: state\ndata: {state}\n\n")
        rows, log = self._rows(job.command), self._log()
        done = job.has_ended and not rows and not log
        return [*found, *rows, *log, *([event("end", {})] if done else [])], done

    def _rows(self, command: str) -> list[str]:
        known, folder = COMMANDS.get(command), self.runner.folder(self.id)
        path = None if known is None else known.rows(folder)
        if path is None:
            return []
        points, offset = read_points(path, self.place.rows)
        # A run that goes on after a kill drops rows: what was shown of them is not what is there.
        fresh = offset < self.place.rows or (points and self.place.rows == 0)
        self.place.rows = offset
        if not points and not fresh:
            return []
        told = [{"time": point.time, "values": point.values} for point in points]
        return [event("rows", {"fresh": bool(fresh), "rows": told}, self.place)]

    def _log(self) -> list[str]:
        text, offset = read_log(self.runner.folder(self.id).log, self.place.log)
        self.place.log = offset
        return [event("log", {"text": text}, self.place)] if text else []


async def stream(
    listener: JobListener,
    is_over: Callable[[], bool],
    has_left: Callable[[], Awaitable[bool]],
) -> AsyncIterator[str]:
    """Yield events until the job has ended, the listener has left, or the server stops.

    Args:
        listener: that looks.
        is_over: whether the server stops.
        has_left: whether the listener has.
    """
    silent = 0.0
    yield "retry: 2000\n\n"
    while not is_over() and not await has_left():
        try:
            events, done = await run_in_threadpool(listener.look)
        except LookupError:  # it was deleted meanwhile
            yield event("gone", {})
            return
        for each in events:
            yield each
        if done:
            return
        silent = 0.0 if events else silent + PAUSE
        if silent >= BEAT:
            silent = 0.0
            yield ": still here\n\n"
        await asyncio.sleep(PAUSE)
