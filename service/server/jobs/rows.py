"""What a running job tells of itself: rows of numbers, read as they come."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MOST_BYTES = 4 << 20
"""Bytes of a file that are read at once."""
MOST_POINTS = 600
"""Points of a curve that are shown."""
_TIMES = ("step", "iteration")
_HIDDEN = {*_TIMES, "total", "seconds", "sha256"}


@dataclass(frozen=True)
class Progress:
    """How far a job is.

    Attributes:
        done: units of work.
        total: of the whole job; None where that is not known.
        unit: in the plural.
    """

    done: float
    total: float | None
    unit: str

    @property
    def share(self) -> float | None:
        """How much of it is done, from 0 to 1."""
        return min(1.0, self.done / self.total) if self.total else None


@dataclass(frozen=True)
class Point:
    """Numbers of one moment.

    Attributes:
        time: step or iteration.
        values: by name.
    """

    time: float
    values: dict[str, float]


def read_points(path: Path, offset: int = 0, most: int = MOST_BYTES) -> tuple[list[Point], int]:
    """Return the points of whole lines from an offset on, and the offset after them.

    Lines that are no rows are passed over: what is shown of a run must not keep it from being seen.

    Example:
        >>> read_points(Path("runs/mine/metrics.jsonl"))  # doctest: +SKIP
        ([Point(time=10.0, values={'train/loss': 2.1})], 96)
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            # A file that is shorter than it was begins anew: a run that goes on cuts its rows.
            begin = offset if 0 <= offset <= size else 0
            file.seek(begin)
            content = file.read(most)
    except OSError:
        return [], offset
    whole = content.rfind(b"\n") + 1
    found = (_point(line) for line in content[:whole].splitlines())
    return [point for point in found if point is not None], begin + whole


def last_row(path: Path) -> dict[str, Any]:
    """Return the last whole row of a file, {} where there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - (64 << 10)))
            lines = file.read().splitlines(keepends=True)
    except OSError:
        return {}
    for line in reversed(lines):
        row = _row(line) if line.endswith(b"\n") else None
        if row is not None:
            return row
    return {}


def count_lines(paths: Iterable[Path]) -> int:
    """Return the whole lines of files together."""
    total = 0
    for path in paths:
        try:
            with path.open("rb") as file:
                while chunk := file.read(1 << 20):
                    total += chunk.count(b"\n")
        except OSError:
            continue
    return total


def curves(points: Sequence[Point], most: int = MOST_POINTS) -> dict[str, list[list[float]]]:
    """Return name -> [[time, value], ...], each with at most so many points, the last among them.

    Example:
        >>> curves([Point(1.0, {"a": 2.0}), Point(2.0, {"a": 3.0})])
        {'a': [[1.0, 2.0], [2.0, 3.0]]}
    """
    found: dict[str, list[list[float]]] = {}
    for point in points:
        for name, value in point.values.items():
            found.setdefault(name, []).append([point.time, value])
    return {name: _thin(of, most) for name, of in found.items()}


def _thin(of: list[list[float]], most: int) -> list[list[float]]:
    if len(of) <= most:
        return of
    step = -(-len(of) // most)
    return of[(len(of) - 1) % step :: step]


def _row(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None


def _point(line: bytes) -> Point | None:
    row = _row(line) or {}
    time = next((row[name] for name in _TIMES if _is_number(row.get(name))), None)
    if time is None:
        return None
    values = {k: float(v) for k, v in row.items() if k not in _HIDDEN and _is_number(v)}
    return Point(float(time), values)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
