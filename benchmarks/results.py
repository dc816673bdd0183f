"""Reading the folder that a benchmark wrote."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from l2o.benchmarks.cell import Record
from l2o.benchmarks.records import CELLS, read
from l2o.benchmarks.statistics import Array

RESULTS = "results.json"
FORMAT = 1
"""Version of the layout of results.json."""


@dataclass(frozen=True)
class Results:
    """The results of a benchmark.

    Attributes:
        directory: where they lie.
        data: content of `results.json`.
        records: the fine-tunes, by cell id.
    """

    directory: Path
    data: dict[str, Any]
    records: dict[str, Record]

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Rows of the table, in the config's order."""
        rows: list[dict[str, Any]] = self.data["rows"]
        return rows

    def cells(self, row: dict[str, Any], factor: float | None = None) -> list[Record]:
        """Return a row's good records, at one base-LR factor or at all."""
        found = [self.records[id] for id in row["cells"] if id in self.records]
        # A fixed base LR is the same fine-tune at every factor.
        every = factor is None or row.get("base_lr") is not None
        return [
            record
            for record in found
            if record["error"] is None and (every or factor == record["base_lr_factor"])
        ]


def load_results(directory: Path) -> Results:
    """Read a benchmark's folder.

    Raises:
        FileNotFoundError: no results there; says how to make them.
        ValueError: results of another layout.
    """
    path = directory / RESULTS
    if not path.is_file():
        unfinished = (directory / CELLS).is_file()
        remedy = (
            "the benchmark is not finished: run the same `l2o benchmark` command again to go on"
            if unfinished
            else "run `l2o benchmark CONFIG --out` with this folder first"
        )
        raise FileNotFoundError(f"no {RESULTS} in {directory}; {remedy}")
    return Results(directory, read_results(directory), read(directory / CELLS))


def read_results(directory: Path) -> dict[str, Any]:
    """Return the content of a folder's `results.json`, of any kind of benchmark.

    Raises:
        ValueError: results of another layout.
    """
    path = directory / RESULTS
    data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if data.get("format") != FORMAT:
        raise ValueError(
            f"{path} has format {data.get('format')!r}, this release reads format {FORMAT}; "
            "run the benchmark command again to rewrite it"
        )
    return data


def curves(records: list[Record], metric: str) -> tuple[Array, Array]:
    """Return progress `[P]` in (0, 1] and values `[N, P]` of a metric over training.

    A fine-tune that ended early keeps its last value; what was not measured is NaN.
    """
    longest = max(records, key=lambda record: len(record["curve"]))
    progress = [point["step"] / longest["steps"] for point in longest["curve"]]
    columns = []
    for record in records:
        column = [np.nan if p[metric] is None else p[metric] for p in record["curve"]]
        columns.append(column + column[-1:] * (len(progress) - len(column)))
    return np.array(progress, dtype=np.float64), np.array(columns, dtype=np.float64)
