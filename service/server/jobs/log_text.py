"""A job's log, read piece by piece."""

from __future__ import annotations

import os
from pathlib import Path

PIECE = 256 << 10
"""Bytes that are read at once."""


def read_log(path: Path, offset: int = 0, most: int = PIECE) -> tuple[str, int]:
    """Return text from an offset on, and the offset after it.

    A negative offset counts from the end; where the file has no such place, it begins at the start.
    Characters are not cut.

    Example:
        >>> read_log(Path("log.txt"), -1000)  # doctest: +SKIP
        ('...the last lines', 48213)
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            begin = max(0, size + offset) if offset < 0 else offset if offset <= size else 0
            file.seek(begin)
            content = file.read(most)
    except OSError:
        return "", max(offset, 0)
    cut = _incomplete(content) if len(content) == most or begin + len(content) == size else 0
    content = content[: len(content) - cut] if cut < len(content) else content
    return content.decode(errors="replace"), begin + len(content)


def _incomplete(content: bytes) -> int:
    """Return how many bytes at the end are the start of a character."""
    for back in range(1, min(4, len(content)) + 1):
        byte = content[-back]
        if byte < 0x80:
            return 0
        if byte >= 0xC0:
            length = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return back if back < length else 0
    return 0
