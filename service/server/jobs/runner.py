"""The runner: starts queued jobs, looks after running ones, and notes how they end.

All that it knows is in the database and in the jobs' folders, so a runner that is killed at any
moment is replaced by the next one, which finds the same jobs, running or not.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from l2o.service.server.jobs.base import Job
from l2o.service.server.jobs.capacity import GIBIBYTE, Capacity
from l2o.service.server.jobs.commands import COMMANDS
from l2o.service.server.jobs.commands.base import Command
from l2o.service.server.jobs.folder import JobFolder
from l2o.service.server.jobs.process import memory, signal_group, start
from l2o.service.server.jobs.store import JobStore

GRACE = 20.0
"""Seconds that a cancelled job has to save what it did, before it is killed."""
KILLED = {-signal.SIGKILL, -signal.SIGTERM, -signal.SIGHUP, -signal.SIGINT, 130}
"""Exit codes of a command that was stopped from outside."""
LOOK_AT_MEMORY = 1.0
"""Seconds between looks at the memory of running jobs."""


class Runner:
    """Runs the jobs of one data folder; of several runners, one at a time may be at work.

    Args:
        store: the jobs.
        data: the data folder; jobs lie in its `jobs/`.
        capacity: what jobs may use together.
        allow_code: whether jobs may name code.
        commands: what jobs may run.
    """

    def __init__(
        self,
        store: JobStore,
        data: Path,
        capacity: Capacity,
        allow_code: bool = False,
        commands: Mapping[str, Command] = COMMANDS,
    ) -> None:
        self.store, self.data, self.capacity = store, data, capacity
        self.allow_code, self.commands = allow_code, commands
        self._started: dict[tuple[str, int], subprocess.Popen[bytes]] = {}
        self._asked: dict[str, float] = {}
        self._too_large: dict[str, str] = {}
        self._looked = 0.0

    def folder(self, id: str) -> JobFolder:
        """Return a job's folder."""
        return JobFolder(self.data / "jobs" / id)

    def tick(self) -> None:
        """Look after what runs, and start what can be."""
        running = self.store.running()
        for job in running:
            self._look_after(job)
        self._watch_memory(running)
        self.store.fail_orphans()
        self._start_ready()

    def _look_after(self, job: Job) -> None:
        folder, key = self.folder(job.id), (job.id, job.attempt)
        waiting = self._started.get(key)
        begun = waiting is not None and waiting.poll() is None
        code = folder.exit_code(job.attempt)
        if code is None and not begun and not folder.is_alive:
            # It may have ended between the two looks.
            code = folder.exit_code(job.attempt)
            if code is None:
                self._find_gone(job, folder)
                return
        if code is not None:
            self._forget(job)
            self._conclude(job, folder, code)
        elif job.cancelling:
            self._stop(job, folder)

    def _find_gone(self, job: Job, folder: JobFolder) -> None:
        """Begin an attempt that a killed server only noted, or count one that was killed."""
        if folder.process(job.attempt) is None and not job.cancelling:
            self._launch(job)
            return
        self._forget(job)
        self._conclude(job, folder, -signal.SIGKILL)

    def _conclude(self, job: Job, folder: JobFolder, code: int) -> None:
        too_large = self._too_large.pop(job.id, "")
        if code == 0:
            self.store.end(job.id, "succeeded")
        elif job.cancelling:
            self.store.end(job.id, "cancelled", "cancelled")
        elif too_large:
            self.store.end(job.id, "failed", too_large)
        elif code not in KILLED:
            words = folder.last_words() or "it said nothing"
            self.store.end(job.id, "failed", f"ended with exit code {code}: {words}")
        elif job.kills < job.max_resumes:
            self.store.queue_again(
                job.id, f"was killed, goes on ({job.kills + 1} of at most {job.max_resumes} times)"
            )
        else:
            told = f"was killed {job.kills + 1} times, and is resumed {job.max_resumes} times"
            self.store.end(job.id, "failed", f"{told} at most; retry goes on with it")

    def _stop(self, job: Job, folder: JobFolder) -> None:
        """Ask a job to stop, as Ctrl-C does; kill it when it takes too long."""
        asked = self._asked.get(job.id)
        if folder.process(job.attempt) is None:
            return  # it begins just now
        if asked is None:
            self._asked[job.id] = time.monotonic()
            signal_group(folder, job.attempt, signal.SIGINT)
        elif time.monotonic() - asked > GRACE:
            signal_group(folder, job.attempt, signal.SIGKILL)

    def _watch_memory(self, running: list[Job]) -> None:
        if time.monotonic() - self._looked < LOOK_AT_MEMORY:
            return
        self._looked = time.monotonic()
        for job in running:
            folder = self.folder(job.id)
            held = memory(folder, job.attempt) / GIBIBYTE
            if held > job.needs.memory_gib and job.id not in self._too_large:
                self._too_large[job.id] = (
                    f"held {held:.1f} GiB of memory, more than its memory_gib="
                    f"{job.needs.memory_gib:g}; submit it again with more"
                )
                signal_group(folder, job.attempt, signal.SIGKILL)

    def _start_ready(self) -> None:
        """Start jobs in their turn; one that does not fit yet holds back those behind it."""
        running = self.store.running()
        for job in self.store.ready():
            place = self.capacity.place(job.needs, running)
            if place is None:
                lacks = self.capacity.lacks(job.needs)
                if not lacks:
                    return
                begun = self.store.begin(job.id, (), ())
                if begun is not None:
                    self.store.end(job.id, "failed", lacks)
                continue
            begun = self.store.begin(job.id, *place)
            if begun is not None:
                running.append(begun)
                self._launch(begun)

    def _launch(self, job: Job) -> None:
        folder = self.folder(job.id)
        try:
            command = self.commands.get(job.command)
            if command is None:
                raise ValueError(f"this server has no command {job.command!r}")
            folder.run.mkdir(parents=True, exist_ok=True)
            words = command.words(folder)
            started = start(job, folder, words, self.data, self.allow_code)
        except (OSError, ValueError) as error:
            self.store.end(job.id, "failed", f"could not be started: {error}")
            return
        self._started[job.id, job.attempt] = started

    def _forget(self, job: Job) -> None:
        self._asked.pop(job.id, None)
        waiting = self._started.pop((job.id, job.attempt), None)
        if waiting is not None:
            waiting.wait()

    def delete(self, id: str) -> None:
        """Forget a job that has ended, and delete its folder.

        Raises:
            UnknownJobError: there is none of that id.
            JobStateError: it has not ended.
        """
        self.store.delete(id)
        shutil.rmtree(self.folder(id).path, ignore_errors=True)
