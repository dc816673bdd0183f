"""Output streams that show what they can, whatever their encoding."""

from __future__ import annotations

import io
import sys

_RAISING = ("strict", "surrogateescape")


def forgive_encodings() -> None:
    """Let stdout and stderr replace characters that their encoding lacks, instead of raising.

    A minus sign in a table must not end a command because the terminal speaks cp1252 or ASCII.
    """
    for stream in (sys.stdout, sys.stderr):
        # Notebooks and tests put other things there, which have encodings of their own.
        if isinstance(stream, io.TextIOWrapper) and stream.errors in _RAISING:
            stream.reconfigure(errors="replace")
