"""A job's folder: what was asked for, its run, its log, and what is known of its process."""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from l2o.files.atomic import write_atomically
from l2o.service.server.jobs.supervise import EXIT, LOCK, LOG, PROCESS


@dataclass(frozen=True)
class JobFolder:
    """The files of one job.

    Args:
        path: the folder.
    """

    path: Path

    @property
    def config(self) -> Path:
        """What was asked for, checked and resolved."""
        return self.path / "config.yaml"

    @property
    def run(self) -> Path:
        """The run folder that the command writes to."""
        return self.path / "run"

    @property
    def log(self) -> Path:
        """What the command printed, all attempts one after another."""
        return self.path / LOG

    def make(self, config: str) -> None:
        """Write what was asked for; the run's folder begins empty.

        Raises:
            OSError: it cannot be written.
        """
        self.run.mkdir(parents=True, exist_ok=True)
        write_atomically(self.config, config)

    def process(self, attempt: int) -> int | None:
        """Return the id of the process (and group) that an attempt began with, None before."""
        begun = _read(self.path / PROCESS)
        return int(begun["pid"]) if begun.get("attempt") == attempt else None

    def exit_code(self, attempt: int) -> int | None:
        """Return how an attempt ended, negative for a signal; None where that is not known."""
        ended = _read(self.path / EXIT)
        return int(ended["code"]) if ended.get("attempt") == attempt else None

    @property
    def is_alive(self) -> bool:
        """Whether a process of the job lives: it holds the job's lock."""
        try:
            descriptor = os.open(self.path / LOCK, os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(descriptor)
        return False

    def last_words(self) -> str:
        """Return why the command failed, as it said itself: its last error, else its last line."""
        try:
            with self.log.open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - 16_384))
                lines = file.read().decode(errors="replace").splitlines()
        except OSError:
            return ""
        told = [number for number, line in enumerate(lines) if line.startswith("error: ")]
        if told:
            return " ".join(" ".join(lines[told[-1] :]).split())[len("error: ") :][:1000]
        return next((line.strip()[:1000] for line in reversed(lines) if line.strip()), "")


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
