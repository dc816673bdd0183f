"""Writing files whole: a reader sees the old content or the new, never half of it."""

from __future__ import annotations

import errno
import os
import tempfile
from contextlib import suppress
from pathlib import Path


class DamagedFileError(ValueError):
    """A file that does not hold what was written to it; the message has file, reason, remedy.

    Args:
        path: the file.
        reason: what is wrong with it, as the rest of a sentence: "is empty".
        remedy: what to do about it.

    Example:
        >>> print(DamagedFileError(Path("results.json"), "is empty", "run the benchmark again"))
        results.json is empty; run the benchmark again
    """

    def __init__(self, path: Path, reason: str, remedy: str) -> None:
        super().__init__(f"{path} {reason}; {remedy}")
        self.path = path
        self.told = (path, reason, remedy)

    def __reduce__(self) -> tuple[type[DamagedFileError], tuple[Path, str, str]]:
        """Let worker processes pass it on."""
        return type(self), self.told


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write a file beside its place and move it there; once this returns, it is on the disk.

    Args:
        path: where to; missing folders are made.
        content: bytes, or text to be encoded as UTF-8.

    Raises:
        OSError: it cannot be written (no space, no permission, a folder in its place); it names
            the file, and what was there before is untouched.
    """
    data = content.encode() if isinstance(content, str) else content
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(path, data)
    except OSError as error:
        # The error of a full disk names no file, that of a move the temporary one.
        raise type(error)(error.errno, error.strerror, str(path)) from error
    _keep_name(path.parent)


def read_bytes(path: Path, remedy: str) -> bytes:
    """Return the content of a file that must be there and hold something.

    Args:
        path: the file.
        remedy: what to do if it cannot be read.

    Raises:
        DamagedFileError: it is missing, a folder, unreadable or empty.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        reasons = {errno.EISDIR: "is a folder, not a file", errno.ENOENT: "is missing"}
        reason = reasons.get(error.errno or 0, f"cannot be read ({error.strerror})")
        raise DamagedFileError(path, reason, remedy) from error
    if not content:
        raise DamagedFileError(path, "is empty", remedy)
    return content


def _replace(path: Path, data: bytes) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes files that only the owner may read.
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _keep_name(folder: Path) -> None:
    """Put a folder's entries on the disk, so that a power cut does not undo the move."""
    # Windows opens no folders, and some file systems sync none.
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
