"""The two kinds of benchmark, one family's table and a comparison over several, behind one door."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from l2o.benchmarks import report, run, terminal
from l2o.benchmarks.results import RESULTS
from l2o.configs.schema import BenchmarkConfig
from l2o.configs.zero_shot import ZeroShotConfig

if TYPE_CHECKING:
    from rich.console import Console


def run_benchmark(
    config: BenchmarkConfig | ZeroShotConfig,
    out: Path,
    workers: int | None = None,
    progress: bool = True,
) -> Path:
    """Run what is missing of a benchmark and write its results.

    See `l2o.benchmarks.run.run_benchmark` and `l2o.benchmarks.zero_shot.run.run_zero_shot`.
    """
    if isinstance(config, BenchmarkConfig):
        return run.run_benchmark(config, out, workers, progress)
    from l2o.benchmarks.zero_shot.run import run_zero_shot

    return run_zero_shot(config, out, workers, progress)


def write_report(directory: Path) -> Path:
    """Write `report.html`, `report.md` and `figures/*.png` into a benchmark's folder.

    Raises:
        FileNotFoundError: no results there.
        ValueError: results of another layout.
    """
    if not is_zero_shot(directory):
        return report.write_report(directory)
    from l2o.benchmarks.zero_shot.report import write_report as write

    return write(directory)


def print_table(directory: Path, console: Console | None = None) -> None:
    """Print the main tables of a benchmark's folder.

    Args:
        directory: what `run_benchmark` wrote.
        console: where to; None prints to stdout, at full width if that is no terminal.

    Raises:
        FileNotFoundError: no results there.
        ValueError: results of another layout.
    """
    if not is_zero_shot(directory):
        return terminal.print_table(directory, console)
    from l2o.benchmarks.zero_shot.tables import terminal_tables

    data = json.loads((directory / RESULTS).read_text(encoding="utf-8"))
    terminal.print_tables(terminal_tables(data), data["failures"], console)


def is_zero_shot(directory: Path) -> bool:
    """Tell whether a folder holds the results of a comparison over several families."""
    path = directory / RESULTS
    if not path.is_file():
        return False
    found = json.loads(path.read_text(encoding="utf-8"))
    return bool(found.get("kind") == "zero_shot")
