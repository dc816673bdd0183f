"""Files that grow by a line at a time: one sealed JSON mapping a line (`l2o.files.seals`).

A kill while a line is written leaves a last line without an end. It is passed over when read and
cut off before more is written; any other line that is not what was written is an error that names
it.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from l2o.files.atomic import DamagedFileError, read_bytes, write_atomically
from l2o.files.seals import open_json, seal_json


def append_row(path: Path, row: Mapping[str, Any]) -> None:
    """Add one row as one line, in one write, so that a kill leaves at most one torn line.

    Raises:
        ValueError: the row holds NaN or infinity, which JSON has no word for.
        OSError: it cannot be written, for want of space or permission.
    """
    line = (json.dumps(seal_json(row), separators=(",", ":")) + "\n").encode()
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    descriptor = os.open(path, flags, 0o644)
    try:
        if os.write(descriptor, line) != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    finally:
        os.close(descriptor)


def read_rows(path: Path, remedy: str) -> list[dict[str, Any]]:
    """Return the rows of a file, none where there is no file; a torn last line is passed over.

    Args:
        path: the file.
        remedy: what to do about a damaged line.

    Raises:
        DamagedFileError: a damaged line, by its number; or the file is unreadable or a folder.
    """
    return _parse(path, remedy)[0]


def end_torn_row(path: Path, remedy: str) -> int:
    """Cut off a torn last line, so that the next row is on a line of its own.

    Returns:
        The number of bytes that were cut off.

    Raises:
        DamagedFileError: as `read_rows`; nothing is cut off then.
    """
    _, whole, torn = _parse(path, remedy)
    if torn:
        with path.open("rb+") as file:
            file.truncate(whole)
    return torn


def keep_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write a file that holds just these rows, whole or not at all."""
    lines = [json.dumps(seal_json(row), separators=(",", ":")) + "\n" for row in rows]
    write_atomically(path, "".join(lines))


def _parse(path: Path, remedy: str) -> tuple[list[dict[str, Any]], int, int]:
    """Return the rows, the length of all whole lines, and that of a torn one after them."""
    if not path.exists() or (path.is_file() and path.stat().st_size == 0):
        return [], 0, 0
    content = read_bytes(path, remedy)
    *lines, last = content.split(b"\n")
    rows = [
        open_json(path, line, remedy, place=f"line {number}")
        for number, line in enumerate(lines, 1)
        if line.strip()
    ]
    if last and not _is_torn(last):
        place = f"line {len(lines) + 1}"
        raise DamagedFileError(path, f"is damaged in {place} (no start of a row)", remedy)
    return rows, len(content) - len(last), len(last)


def _is_torn(line: bytes) -> bool:
    """Tell whether bytes may be the start of a line that was written: JSON's text in ASCII."""
    return line.startswith(b"{") and line.isascii() and line.decode().isprintable()
