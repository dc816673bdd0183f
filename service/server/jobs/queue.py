"""The queue of one data folder, and the thread that keeps it going."""

from __future__ import annotations

import fcntl
import logging
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from l2o.service.server.jobs.base import Job
from l2o.service.server.jobs.request import JobRequest
from l2o.service.server.jobs.runner import Runner
from l2o.service.server.jobs.store import JobStore
from l2o.service.server.jobs.submitting import FolderOf, submit

TICK = 0.5
"""Seconds between looks at the queue; what this process is asked is done at once."""
LOCK = "runner.lock"

logger = logging.getLogger("l2o.service")


class Queue:
    """Takes jobs, and runs them; of all processes with the same data folder, one does.

    Args:
        runner: that is made to work.
        folder_of: where uploaded policies lie.
        after_look: called after each look at the queue.
    """

    def __init__(
        self,
        runner: Runner,
        folder_of: FolderOf = lambda name: None,
        after_look: Callable[[], None] = lambda: None,
    ) -> None:
        self.runner, self.folder_of, self.after_look = runner, folder_of, after_look
        self._wake, self._stop = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self.trouble: str | None = None

    @property
    def store(self) -> JobStore:
        """The jobs."""
        return self.runner.store

    def submit(self, request: JobRequest) -> Job:
        """Queue a job; raises what `submitting.submit` does."""
        job = submit(self.runner, request, self.folder_of)
        self._wake.set()
        return job

    def cancel(self, id: str) -> Job:
        """Cancel a job; see `JobStore.cancel`."""
        job = self.store.cancel(id)
        self._wake.set()
        return job

    def retry(self, id: str) -> Job:
        """Queue a job again; see `JobStore.retry`."""
        job = self.store.retry(id)
        self._wake.set()
        return job

    def start(self) -> None:
        """Begin to run jobs, in a thread."""
        self._thread = threading.Thread(target=self._run, name="jobs", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; jobs that run go on, and the next server finds them."""
        self._stop.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        path = self.runner.data / "jobs" / LOCK
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            while not self._stop.is_set():
                # Whoever runs jobs holds the lock as long as it lives, however that ends.
                with suppress(OSError):
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    self._work()
                self._stop.wait(TICK)
        finally:
            os.close(lock)

    def _work(self) -> None:
        while not self._stop.is_set():
            self._wake.clear()
            try:
                self.runner.tick()
                self.after_look()
                self.trouble = None
            except Exception as error:  # a full disk, a locked database: the next look may go well
                if str(error) != self.trouble:
                    logger.exception("jobs cannot be looked after")
                self.trouble = str(error)
            self._wake.wait(TICK)


def path_of_policies(data: Path, folder: Path) -> str:
    """Return a policy's folder as configs of jobs name it."""
    return folder.resolve().relative_to(data.resolve()).as_posix()
