"""Metrics of a training run: `metrics.jsonl`, and TensorBoard events beside it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from l2o.files.atomic import DamagedFileError
from l2o.files.jsonl import append_row, end_torn_row, keep_rows, read_rows

METRICS = "metrics.jsonl"
REMEDY = "delete that line: it is a row of the log, which nothing depends on"
"""What to do about a damaged `metrics.jsonl`."""


def last_iteration(out: Path) -> float:
    """Return the iteration of the last row of a run folder's log, 0 where there is none."""
    rows = _read(out / METRICS)
    return rows[-1]["iteration"] if rows else 0


class MetricsLog:
    """Appends one row per iteration.

    Args:
        out: the run folder; rows that are there stay.
    """

    def __init__(self, out: Path) -> None:
        out.mkdir(parents=True, exist_ok=True)
        self.path = out / METRICS
        self._events = SummaryWriter(str(out / "tensorboard"))

    def write(self, row: dict[str, float]) -> None:
        """Append a row; non-finite values become null."""
        clean = {key: value if math.isfinite(value) else None for key, value in row.items()}
        append_row(self.path, clean)
        for key, value in row.items():
            self._events.add_scalar(key, value, int(row["iteration"]))

    def truncate(self, iteration: int) -> None:
        """Drop rows after an iteration: those a killed run wrote since its last checkpoint.

        Raises:
            DamagedFileError: a damaged row, by its line; nothing is dropped then.
        """
        rows = _read(self.path)
        kept = [row for row in rows if row["iteration"] <= iteration]
        if len(kept) < len(rows):
            keep_rows(self.path, kept)
        elif self.path.exists():
            end_torn_row(self.path, REMEDY)

    def speed(self) -> dict[str, float]:
        """Return steps/s, fine-tunes/s and the shares of time; nothing before the first row."""
        rows = _read(self.path)
        if not rows:
            return {}
        seconds = sum(row["seconds"] for row in rows)
        names = [key for key in rows[-1] if key.endswith("_per_second") or key.startswith("share_")]
        # Rates and shares are per second of an iteration, so seconds are their weights.
        return {
            name: sum(row.get(name, 0.0) * row["seconds"] for row in rows) / seconds
            for name in names
        }

    def close(self) -> None:
        """Flush and close the event file."""
        self._events.close()


def _read(path: Path) -> list[dict[str, Any]]:
    rows = read_rows(path, REMEDY)
    for number, row in enumerate(rows, 1):
        if not isinstance(row.get("iteration"), int | float):
            raise DamagedFileError(path, f"holds no row of the log in line {number}", REMEDY)
    return rows
