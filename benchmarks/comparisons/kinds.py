"""The kinds of comparison behind one door: a family's table, several families, an ablation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from l2o.benchmarks.comparisons.base import Comparison
from l2o.benchmarks.comparisons.results_file import kind_of
from l2o.configs.ablation import AblationConfig
from l2o.configs.schema import BenchmarkConfig
from l2o.configs.zero_shot import ZeroShotConfig
from l2o.envs.runtime.run_lock import run_lock
from l2o.registry import import_path

if TYPE_CHECKING:
    from rich.console import Console

KINDS = {
    "table": "l2o.benchmarks.comparisons.table.comparison:TABLE",
    "zero_shot": "l2o.benchmarks.comparisons.zero_shot.comparison:ZERO_SHOT",
    "ablation": "l2o.benchmarks.comparisons.ablation.comparison:ABLATION",
}
"""Kind -> where its member is: what it needs is imported when it is used."""
CONFIGS = {BenchmarkConfig: "table", ZeroShotConfig: "zero_shot", AblationConfig: "ablation"}


def run_benchmark(
    config: BenchmarkConfig | ZeroShotConfig | AblationConfig,
    out: Path,
    workers: int | None = None,
    progress: bool = True,
) -> Path:
    """Run what is missing of a benchmark and write its results.

    Each finished piece (a fine-tune, or an ablation's learned policy) is one line of `cells.jsonl`.
    Calling it again with the same folder goes on where it stopped; what has changed is run anew.

    Args:
        config: the benchmark.
        out: folder of the results; made when missing.
        workers: processes, one torch thread each; null takes one per usable core, or one where
            fine-tunes are stacked on a GPU; of an ablation, the training config's. 1 runs a
            benchmark in this process.
        progress: show a progress bar, if stderr is a terminal.

    Returns:
        The path of `results.json`.

    Raises:
        ValueError: a config that cannot run, before any work.
        FolderInUseError: another run is at work in the folder.
        DamagedFileError: a file that it goes on from is damaged; nothing is changed.
        RuntimeError: a worker process died, or everything failed.
        KeyboardInterrupt: passed on after the workers are stopped; what is finished is kept.

    Example:
        run_benchmark(config, Path("runs/asg-table"), workers=2)
    """
    return member(CONFIGS[type(config)]).run(config, out, workers, progress)


def write_report(directory: Path) -> Path:
    """Write `report.html`, `report.md` and `figures/*.png` into a benchmark's folder.

    Raises:
        FileNotFoundError: no results there.
        DamagedFileError: results or records are not what was written; nothing is changed.
        FolderInUseError: a run is at work in the folder.
        ValueError: results of another layout.
    """
    with run_lock(directory):
        return member(kind_of(directory)).write_report(directory)


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
    member(kind_of(directory)).print_table(directory, console)


def member(kind: str) -> Comparison[Any, Any, Any, Any]:
    """Return the comparison of a kind; of what no comparison wrote, that of a table."""
    found: Comparison[Any, Any, Any, Any] = import_path(KINDS.get(kind, KINDS["table"]))
    return found
