"""The append-only file of finished cells, `cells.jsonl`: one sealed record a line."""

from __future__ import annotations

import logging
from pathlib import Path

from l2o.benchmarks.cells.cell import Record
from l2o.files.atomic import DamagedFileError
from l2o.files.jsonl import append_row, end_torn_row, read_rows

CELLS = "cells.jsonl"
REMEDY = "delete that line, and the same command runs what it held again"
"""What to do about a damaged line."""

logger = logging.getLogger("l2o")


def append(path: Path, record: Record) -> None:
    """Add one record as one line, in one write, so that a kill leaves at most one torn line.

    Raises:
        ValueError: the record holds NaN or infinity, which JSON has no word for.
        OSError: it cannot be written, for want of space or permission.
    """
    append_row(path, record)


def read(path: Path) -> dict[str, Record]:
    """Return the records by cell id; the last of an id counts, a torn last line is passed over.

    Raises:
        DamagedFileError: a line is not what was written, or no record; the message names it.
    """
    records: dict[str, Record] = {}
    for number, record in enumerate(read_rows(path, REMEDY), 1):
        if not isinstance(record.get("id"), str):
            raise DamagedFileError(path, f"holds no record in line {number} (no 'id')", REMEDY)
        records[record["id"]] = record
    return records


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
