"""The append-only file of finished cells, `cells.jsonl`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from l2o.benchmarks.cell import Record
from l2o.files import write_atomically

CELLS = "cells.jsonl"


def append(path: Path, record: Record) -> None:
    """Add one record as one line, in one write, so that a kill leaves at most one torn line.

    Raises:
        ValueError: the record holds NaN or infinity, which JSON has no word for.
    """
    line = json.dumps(record, allow_nan=False, separators=(",", ":")) + "\n"
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    descriptor = os.open(path, flags, 0o644)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


def read(path: Path) -> dict[str, Record]:
    """Return the records by cell id; the last of an id counts, torn lines are passed over."""
    records: dict[str, Record] = {}
    if not path.exists():
        return records
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            record = _parse(line)
            if record is not None:
                records[record["id"]] = record
    return records


def mend(path: Path) -> None:
    """End a torn last line, so that the next record starts on a line of its own."""
    if not path.exists() or path.stat().st_size == 0:
        return
    with path.open("rb+") as file:
        file.seek(-1, os.SEEK_END)
        if file.read(1) != b"\n":
            file.write(b"\n")


def write_json(path: Path, data: Any) -> None:
    """Write strict JSON atomically."""
    write_atomically(path, json.dumps(data, indent=1, allow_nan=False) + "\n")


def _parse(line: str) -> Record | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) and "id" in record else None
