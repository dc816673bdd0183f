"""What a fine-tune tells of itself while it runs: `metrics.jsonl` in its folder."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from l2o.files.atomic import DamagedFileError
from l2o.files.jsonl import append_row, end_torn_row, keep_rows, read_rows

METRICS = "metrics.jsonl"
REMEDY = "delete it: it is what was shown of the run, which nothing depends on"
"""What to do about a damaged file."""
MOST_ROWS = 1000
"""Rows that a run writes of its steps, whatever its length; scores have rows of their own."""


class Progress:
    """Appends rows of numbers by step, sparsely enough that long runs leave small files.

    A row is one line of JSON: `step`, `total`, `seconds`, and the numbers by name, as
    `train/loss`, `lr/head`, `target_test/accuracy`; what is not finite is null.

    Args:
        out: the run's folder; None writes nowhere (a process that is not the run's first).
        total: optimizer steps of the whole run.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> Progress(folder, total=100).log(10, 0.5, {"train/loss": 1.0})
        >>> read_progress(folder)[0]["train/loss"]
        1.0
    """

    def __init__(self, out: Path | None, total: int) -> None:
        self.path = None if out is None else out / METRICS
        self.total, self.every = total, max(1, total // MOST_ROWS)
        self._last = -math.inf

    def go_on(self, step: int) -> None:
        """Drop rows after a step: those that a killed run wrote since its last checkpoint.

        Raises:
            DamagedFileError: a damaged row, by its line; nothing is dropped then.
        """
        if self.path is None or not self.path.exists():
            return
        rows = read_progress(self.path.parent)
        kept = [row for row in rows if row["step"] <= step]
        if len(kept) < len(rows):
            keep_rows(self.path, kept)
        else:
            end_torn_row(self.path, REMEDY)
        self._last = step

    def log(
        self,
        step: int,
        seconds: float,
        numbers: Mapping[str, float | None],
        always: bool = False,
    ) -> None:
        """Append a row, unless the last one was only a few steps ago.

        Args:
            step: optimizer steps done.
            seconds: of the run so far.
            numbers: by name.
            always: write it however near the last row is; for scores.
        """
        if self.path is None or not (always or step - self._last >= self.every):
            return
        if not always:
            self._last = step
        clean = {
            name: value if value is not None and math.isfinite(value) else None
            for name, value in numbers.items()
        }
        row = {"step": step, "total": self.total, "seconds": round(seconds, 3), **clean}
        append_row(self.path, row)


def read_progress(out: Path) -> list[dict[str, Any]]:
    """Return the rows that a fine-tune wrote so far, none where there are none.

    Raises:
        DamagedFileError: a damaged row, by its line.
    """
    rows = read_rows(out / METRICS, REMEDY)
    for number, row in enumerate(rows, 1):
        if not isinstance(row.get("step"), int | float):
            raise DamagedFileError(
                out / METRICS, f"holds no row of a fine-tune in line {number}", REMEDY
            )
    return rows
