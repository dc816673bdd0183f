"""What a job left in its run folder: reports, networks, bundles, pictures."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

MOST_FILES = 5_000
"""Files that are listed of one run."""
SHOWN = {
    ".html": "text/html; charset=utf-8",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".txt": "text/plain; charset=utf-8",
    ".md": "text/plain; charset=utf-8",
    ".csv": "text/plain; charset=utf-8",
    ".yaml": "text/plain; charset=utf-8",
    ".json": "text/plain; charset=utf-8",
    ".jsonl": "text/plain; charset=utf-8",
}
"""Endings of files that a browser shows, and what they are sent as; others are downloads."""
POLICY = (
    "default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'; font-src data:; "
    "frame-ancestors 'self'; sandbox"
)
"""What a report that a job wrote may do in a browser: be looked at."""


class UnknownFileError(LookupError):
    """A file that is asked for and that a run does not have."""


@dataclass(frozen=True)
class Artifact:
    """A file of a run.

    Attributes:
        path: in the run's folder, with slashes.
        bytes: its size.
    """

    path: str
    bytes: int

    @property
    def is_shown(self) -> bool:
        """Whether a browser shows it."""
        return Path(self.path).suffix.lower() in SHOWN


def artifacts(run: Path, most: int = MOST_FILES) -> list[Artifact]:
    """Return the files of a run, by path; links and hidden files are left out."""
    found: list[Artifact] = []
    for root, folders, names in os.walk(run):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(root) / name
            if name.startswith(".") or path.is_symlink() or not path.is_file():
                continue
            found.append(Artifact(path.relative_to(run).as_posix(), path.stat().st_size))
            if len(found) >= most:
                return found
    return found


def find_artifact(run: Path, name: str) -> Path:
    """Return the path of a run's file.

    Raises:
        UnknownFileError: there is none of that name, or it is none of the run's.
    """
    parts = name.split("/")
    unknown = UnknownFileError(f"the run has no file {name[:200]!r}; its files are listed")
    if any(part in ("", ".", "..") or part.startswith(".") or "\0" in part for part in parts):
        raise unknown
    run = run.resolve()
    path = run.joinpath(*parts)
    try:
        inside = path.resolve() == path and path.is_file()
    except (OSError, RuntimeError):
        inside = False
    if not inside:
        raise unknown
    return path
