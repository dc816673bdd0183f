"""Metrics of a training run: `metrics.jsonl`, and TensorBoard events beside it."""

from __future__ import annotations

import json
import math
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from l2o.files import write_atomically


class MetricsLog:
    """Appends one row per iteration.

    Args:
        out: the run folder; rows that are there stay.
    """

    def __init__(self, out: Path) -> None:
        out.mkdir(parents=True, exist_ok=True)
        self.path = out / "metrics.jsonl"
        self._events = SummaryWriter(str(out / "tensorboard"))

    def write(self, row: dict[str, float]) -> None:
        """Append a row; non-finite values become null."""
        clean = {key: value if math.isfinite(value) else None for key, value in row.items()}
        with self.path.open("a") as file:
            file.write(json.dumps(clean) + "\n")
        for key, value in row.items():
            self._events.add_scalar(key, value, int(row["iteration"]))

    def truncate(self, iteration: int) -> None:
        """Drop rows after an iteration: those a killed run wrote since its last checkpoint."""
        if self.path.exists():
            kept = [
                line
                for line in self.path.read_text().splitlines()
                if _iteration(line) is not None and (_iteration(line) or 0) <= iteration
            ]
            write_atomically(self.path, "".join(line + "\n" for line in kept))

    def speed(self) -> dict[str, float]:
        """Return steps/s, fine-tunes/s and the shares of time; nothing before the first row."""
        if not self.path.exists():
            return {}
        rows = [json.loads(line) for line in self.path.read_text().splitlines()]
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


def _iteration(line: str) -> int | None:
    try:
        return int(json.loads(line)["iteration"])
    except (ValueError, KeyError, TypeError):
        return None
