"""The kinds of benchmark behind one door: a family's table, several families, an ablation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from l2o.benchmarks.comparisons.results_file import REMEDY, RESULTS, ours, read_results
from l2o.benchmarks.comparisons.table import run
from l2o.benchmarks.report import terminal
from l2o.benchmarks.report import write as report
from l2o.configs.ablation import AblationConfig
from l2o.configs.schema import BenchmarkConfig
from l2o.configs.zero_shot import ZeroShotConfig
from l2o.envs.runtime.run_lock import run_lock
from l2o.files.seals import read_json

if TYPE_CHECKING:
    from rich.console import Console


def run_benchmark(
    config: BenchmarkConfig | ZeroShotConfig | AblationConfig,
    out: Path,
    workers: int | None = None,
    progress: bool = True,
) -> Path:
    """Run what is missing of a benchmark and write its results.

    See `l2o.benchmarks.comparisons.table.run.run_benchmark`,
    `l2o.benchmarks.comparisons.zero_shot.run.run_zero_shot` and
    `l2o.benchmarks.comparisons.ablation.run.run_ablation`.
    """
    if isinstance(config, BenchmarkConfig):
        return run.run_benchmark(config, out, workers, progress)
    if isinstance(config, AblationConfig):
        from l2o.benchmarks.comparisons.ablation.run import run_ablation

        return run_ablation(config, out, workers, progress)
    from l2o.benchmarks.comparisons.zero_shot.run import run_zero_shot

    return run_zero_shot(config, out, workers, progress)


def write_report(directory: Path) -> Path:
    """Write `report.html`, `report.md` and `figures/*.png` into a benchmark's folder.

    Raises:
        FileNotFoundError: no results there.
        DamagedFileError: results or records are not what was written; nothing is changed.
        FolderInUseError: a run is at work in the folder.
        ValueError: results of another layout.
    """
    with run_lock(directory), ours(directory):
        kind = kind_of(directory)
        if kind == "zero_shot":
            from l2o.benchmarks.comparisons.zero_shot.report import write_report as write_zero_shot

            return write_zero_shot(directory)
        if kind == "ablation":
            from l2o.benchmarks.comparisons.ablation.report import write_report as write_ablation

            return write_ablation(directory)
        return report.write_report(directory)


def print_table(directory: Path, console: Console | None = None) -> None:
    """Print the main tables of a benchmark's folder.

    Args:
        directory: what `run_benchmark` wrote.
        console: where to; None prints to stdout, at full width if that is no terminal.

    Raises:
        FileNotFoundError: no results there.
        DamagedFileError: results or records are not what was written.
        ValueError: results of another layout.
    """
    with ours(directory):
        kind = kind_of(directory)
        if kind is None:
            return terminal.print_table(directory, console)
        missing = "fine-tunes"
        if kind == "zero_shot":
            from l2o.benchmarks.comparisons.zero_shot.tables import terminal_tables
        else:
            from l2o.benchmarks.comparisons.ablation.tables import terminal_tables

            missing = "policies"
        data = read_results(directory)
        terminal.print_tables(terminal_tables(data), data["failures"], console, missing)


def kind_of(directory: Path) -> str | None:
    """Return "zero_shot" or "ablation" where a folder holds such results, else None.

    Raises:
        DamagedFileError: the results are not what was written.
    """
    path = directory / RESULTS
    if not path.exists():
        return None
    kind = read_json(path, REMEDY).get("kind")
    return kind if kind in ("zero_shot", "ablation") else None
