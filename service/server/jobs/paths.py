"""Paths in a job's config: they stay within the data folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from l2o.service.server.jobs.texts import Text, texts

ROOMS = ("uploads", "jobs", "policies")
"""Folders of the data folder that jobs may read."""


class OutsideError(ValueError):
    """A path that leads out of the folders that jobs may read."""


def refuse_outside(config: Any, data: Path) -> None:
    """Refuse a config with a path to anything but uploads, jobs and policies.

    Paths are relative to the data folder, where jobs run. Links are followed before they are
    judged.

    Args:
        config: plain data.
        data: the data folder.

    Raises:
        OutsideError: a path leads elsewhere; the message has the field.
    """
    for found in texts(config):
        if "\0" in found.text:
            raise OutsideError(f"{found.field} holds a null character; no path has one")
        if not found.is_plain and _is_path(found, data) and not is_inside(found.text, data):
            raise OutsideError(
                f"{found.field} = {found.text[:200]!r} leads out of what jobs may read; give a "
                f"path below {', '.join(f'{room}/' for room in ROOMS)} of the data folder, such "
                "as uploads/NAME"
            )


def is_inside(text: str, data: Path) -> bool:
    """Tell whether a path, relative to the data folder, leads into a folder that jobs may read."""
    if text.startswith("~") or "\\" in text:
        return False
    data = data.resolve()
    try:
        path = (data / text).resolve()
    except (OSError, RuntimeError):  # a name too long, links that go round
        return False
    return any(path.is_relative_to(data / room) for room in ROOMS)


def _is_path(found: Text, data: Path) -> bool:
    text = found.text
    if text.startswith(("/", "~", ".")) or "/" in text or "\\" in text:
        return True
    try:
        return not found.is_key and text != "" and (data / text).exists()
    except OSError:
        return False
