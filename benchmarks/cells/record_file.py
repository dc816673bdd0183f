"""The append-only file of finished cells, `cells.jsonl`: one sealed record a line."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from l2o.benchmarks.cells.record import RECORD_VERSION
from l2o.files.atomic import DamagedFileError
from l2o.files.jsonl import append_row, end_torn_row, read_rows

CELLS = "cells.jsonl"
REMEDY = "delete that line, and the same command runs what it held again"
"""What to do about a damaged line."""

logger = logging.getLogger("l2o")


R = TypeVar("R", bound=BaseModel)


def append(path: Path, record: BaseModel | Mapping[str, Any]) -> None:
    """Add one record as one line, in one write, so that a kill leaves at most one torn line.

    Raises:
        ValueError: the record holds NaN or infinity, which JSON has no word for.
        OSError: it cannot be written, for want of space or permission.
    """
    plain = record.model_dump() if isinstance(record, BaseModel) else record
    append_row(path, plain)


def read(path: Path) -> dict[str, dict[str, Any]]:
    """Return plain rows by their id; the last of an id counts, a torn last line is passed over.

    Raises:
        DamagedFileError: a line is not what was written, or no record; the message names it.
    """
    return {row["id"]: row for _, row in _numbered(path)}


def read_records(path: Path, kind: type[R]) -> dict[str, R]:
    """Return checked records by id; those of an earlier release's layout are left out, with a word.

    Raises:
        DamagedFileError: a line is not what was written, no record of this kind, or of a newer
            release; the message names it.
    """
    records, older = {}, 0
    for line, row in _numbered(path):
        if row.get("version", 0) < RECORD_VERSION:
            older += 1
        else:
            records[row["id"]] = _checked(path, line, row, kind)
    if older:
        text = "l2o: %d records in %s are of an earlier release; what they hold is run again"
        logger.warning(text, older, path)
    return records


def _numbered(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, row in enumerate(read_rows(path, REMEDY), 1):
        if not isinstance(row.get("id"), str) or not isinstance(row.get("version", 0), int):
            raise DamagedFileError(path, f"holds no record in line {number} (no 'id')", REMEDY)
        yield number, row


def _checked(path: Path, line: int, row: Mapping[str, Any], kind: type[R]) -> R:
    if row["version"] > RECORD_VERSION:
        newer = f"holds a record of a newer release in line {line} (version {row['version']})"
        raise DamagedFileError(path, newer, f"update l2o, or {REMEDY}")
    try:
        return kind.model_validate(row)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        reason = f"holds no record in line {line} ({field!r}: {first['msg']})"
        raise DamagedFileError(path, reason, REMEDY) from error


def mend(path: Path) -> None:
    """Cut off a torn last line, so that the next record starts on a line of its own.

    Raises:
        DamagedFileError: a line is damaged otherwise; nothing is cut off then.
    """
    torn = end_torn_row(path, REMEDY)
    if torn:
        logger.warning(
            "l2o: %s ended in the first %d bytes of a record, as a kill leaves it; what that held "
            "is run again",
            path,
            torn,
        )
