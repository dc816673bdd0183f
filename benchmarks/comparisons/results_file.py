"""Reading the folder that a benchmark wrote."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from l2o.benchmarks.cells.cell import Record
from l2o.benchmarks.cells.record_file import CELLS, read
from l2o.benchmarks.statistics import Array
from l2o.files.atomic import DamagedFileError
from l2o.files.seals import FIELD, read_json

RESULTS = "results.json"
REMEDY = "run the same `l2o benchmark` command again: it keeps what is finished and rewrites it"
"""What to do about damaged results."""
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
        DamagedFileError: a file is damaged, or `cells.jsonl` lacks fine-tunes of the results.
        ValueError: results of another layout.
    """
    path = directory / RESULTS
    if not path.exists():
        unfinished = (directory / CELLS).is_file()
        remedy = (
            "the benchmark is not finished: run the same `l2o benchmark` command again to go on"
            if unfinished
            else "run `l2o benchmark CONFIG --out` with this folder first"
        )
        raise FileNotFoundError(f"no {RESULTS} in {directory}; {remedy}")
    results = Results(directory, read_results(directory), read(directory / CELLS))
    _check_records(results)
    return results


def _check_records(results: Results) -> None:
    """Refuse a file of records that lacks some; a folder of results alone has none, and needs none.

    Raises:
        DamagedFileError: fine-tunes of the results are not there.
    """
    path = results.directory / CELLS
    if not path.exists():
        return
    lacking = {id for row in results.rows for id in row["cells"]} - results.records.keys()
    if lacking:
        remedy = "run the same `l2o benchmark` command again, which runs what is missing"
        reason = f"lacks {len(lacking)} fine-tunes that {RESULTS} speaks of"
        raise DamagedFileError(path, reason, remedy)


def read_results(directory: Path) -> dict[str, Any]:
    """Return the content of a folder's `results.json`, of any kind of benchmark.

    Raises:
        DamagedFileError: they are not what was written.
        ValueError: results of another layout.
    """
    path = directory / RESULTS
    data = read_json(path, REMEDY)
    if data.get("format") != FORMAT:
        raise ValueError(
            f"{path} has format {data.get('format')!r}, this release reads format {FORMAT}; "
            "run the benchmark command again to rewrite it"
        )
    return data


@contextmanager
def ours(directory: Path) -> Iterator[None]:
    """Turn what goes wrong with results that carry no seal into an error that names their file.

    Sealed ones are as this package wrote them, so that an error with them is a bug of its own.

    Raises:
        DamagedFileError: the results are not those of a benchmark.
    """
    try:
        yield
    except (DamagedFileError, OSError):
        raise
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        path = directory / RESULTS
        if _is_told(error) or _is_sealed(path):
            raise
        what = f"holds no results of a benchmark ({type(error).__name__}: {error})"
        raise DamagedFileError(path, what, REMEDY) from error


def _is_told(error: Exception) -> bool:
    """Tell whether an error says already which file is of another layout."""
    return isinstance(error, ValueError) and RESULTS in str(error)


def _is_sealed(path: Path) -> bool:
    return FIELD in json.loads(path.read_bytes())


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
