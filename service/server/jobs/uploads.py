"""Uploaded folders of images: unpacked once, read by jobs as `uploads/NAME`."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import threading
import time
from collections.abc import AsyncIterable
from dataclasses import dataclass
from pathlib import Path

from starlette.concurrency import run_in_threadpool

from l2o.service.server.jobs.archives import Bounds, unpack

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


class UploadError(ValueError):
    """An upload that is refused, or is not there."""


class UnknownUploadError(LookupError):
    """An upload that is asked for and is not there."""


@dataclass(frozen=True)
class Upload:
    """An uploaded folder.

    Attributes:
        name: jobs read `uploads/NAME`.
        files: how many it has.
        bytes: of these together.
    """

    name: str
    files: int
    bytes: int


class Uploads:
    """The uploads of a data folder.

    Args:
        data: the data folder.
        bounds: how large one may be.
    """

    def __init__(self, data: Path, bounds: Bounds | None = None) -> None:
        self.folder = data / "uploads"
        self.coming = data / "coming"
        self.bounds = bounds or Bounds()
        self._one = threading.Lock()
        self._counted: dict[str, tuple[int, Upload]] = {}

    def clean(self, seconds: float = 7200.0) -> None:
        """Delete what killed servers left half received, so long ago that nobody sends it now."""
        for left in self.coming.glob("*"):
            if time.time() - left.lstat().st_mtime > seconds:
                if left.is_dir():
                    shutil.rmtree(left, ignore_errors=True)
                else:
                    left.unlink(missing_ok=True)

    async def receive(self, name: str, content: AsyncIterable[bytes]) -> Upload:
        """Take an archive and unpack it; return the upload.

        Args:
            name: that jobs will know it by.
            content: the archive's bytes as they come.

        Raises:
            UploadError: a name that is none, or is taken.
            ArchiveError: an archive that is refused.
        """
        self._require_free(name)
        self.coming.mkdir(parents=True, exist_ok=True)
        handle, archive = tempfile.mkstemp(dir=self.coming)
        try:
            with os.fdopen(handle, "wb") as file:
                async for chunk in content:
                    await run_in_threadpool(file.write, chunk)
            return await run_in_threadpool(self._unpack, name, Path(archive))
        finally:
            Path(archive).unlink(missing_ok=True)

    def _unpack(self, name: str, archive: Path) -> Upload:
        fresh = archive.with_name(f"{archive.name}.folder")
        with self._one:  # one at a time: it takes a core, and disk that others would count as free
            unpack(archive, fresh, self.bounds)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._require_free(name)
            os.rename(fresh, self.folder / name)
        except OSError as error:
            raise UploadError(f"there is an upload {name!r} already; delete it first") from error
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        return self.get(name)

    def _require_free(self, name: str) -> None:
        if not NAME.fullmatch(name):
            raise UploadError(
                f"{name[:80]!r} is no name for an upload: letters, digits, _ . - and at most 64"
            )
        if (self.folder / name).exists():
            raise UploadError(f"there is an upload {name!r} already; delete it, or take another")

    def all(self) -> list[Upload]:
        """Return the uploads, by name."""
        if not self.folder.is_dir():
            return []
        names = sorted(item.name for item in self.folder.iterdir() if item.is_dir())
        return [self.get(name) for name in names if NAME.fullmatch(name)]

    def get(self, name: str) -> Upload:
        """Return an upload.

        Raises:
            UnknownUploadError: there is none of that name.
        """
        path = self.folder / name
        if not NAME.fullmatch(name) or not path.is_dir():
            raise UnknownUploadError(f"no upload {name[:80]!r}; GET /v1/uploads lists them")
        made = path.stat().st_ino
        if self._counted.get(name, (0, None))[0] != made:
            self._counted[name] = (made, _count(name, path))
        return self._counted[name][1]

    def delete(self, name: str) -> None:
        """Delete an upload.

        Raises:
            UnknownUploadError: there is none of that name.
        """
        self.get(name)
        shutil.rmtree(self.folder / name)


def _count(name: str, path: Path) -> Upload:
    files = size = 0
    for root, _, names in os.walk(path):
        files += len(names)
        size += sum(os.lstat(os.path.join(root, each)).st_size for each in names)
    return Upload(name, files, size)
