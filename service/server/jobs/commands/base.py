"""What a job may run: one command of the command line, from a checked mapping to its words."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from l2o.service.server.jobs.folder import JobFolder
from l2o.service.server.jobs.rows import Progress


class Command(ABC):
    """A command that jobs may run; the table is `l2o.service.server.jobs.commands.COMMANDS`."""

    name: ClassVar[str]
    """Of the command line: `l2o NAME`."""
    about: ClassVar[str]
    """What it does, in a few words."""
    example: ClassVar[str]
    """What may be asked for, as YAML: the page for new jobs begins with it."""

    def presets(self) -> Mapping[str, str]:
        """Return the configs there are by name, each with what it is."""
        return {}

    @abstractmethod
    def resolve(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return what is to be run, checked, defaults filled in, as plain data.

        Raises:
            ConfigError: unknown fields or impossible values; the message names each.
        """

    @abstractmethod
    def words(self, folder: JobFolder) -> list[str]:
        """Return the words after `l2o` that run, or go on with, what is in a job's folder."""

    def progress(self, folder: JobFolder) -> Progress | None:
        """Return how far the run in a folder is, None where it does not tell."""
        del folder
        return None

    def rows(self, folder: JobFolder) -> Path | None:
        """Return the file that the run writes rows of numbers to, None where it has none."""
        del folder
        return None
