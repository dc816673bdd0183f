"""Run a zero-shot comparison: each family as a benchmark of its own, then the summary over all."""

from __future__ import annotations

import sys
from pathlib import Path

from l2o.benchmarks.cells.record_file import CELLS, read
from l2o.benchmarks.comparisons.results_file import RESULTS
from l2o.benchmarks.comparisons.table.plan import Plan, make_plan
from l2o.benchmarks.comparisons.table.run import CONFIG, check, run_benchmark
from l2o.benchmarks.comparisons.zero_shot.plan import check_labels, family_config
from l2o.benchmarks.comparisons.zero_shot.report import write_report
from l2o.benchmarks.comparisons.zero_shot.summary import summarise
from l2o.configs.load import dump_config
from l2o.configs.schema import BenchmarkConfig
from l2o.configs.zero_shot import ZeroShotConfig
from l2o.envs.runtime.run_lock import run_lock
from l2o.files.atomic import write_atomically
from l2o.files.seals import write_json


def run_zero_shot(
    config: ZeroShotConfig, out: Path, workers: int | None = None, progress: bool = True
) -> Path:
    """Run what is missing of a comparison, and write its results and report.

    Each family has a folder in `out` that is a benchmark's own: it goes on where it stopped, and
    `l2o report` reads it.

    Args:
        config: the comparison.
        out: folder of the results; made when missing.
        workers: as `run_benchmark` takes them.
        progress: show progress bars, if stderr is a terminal.

    Returns:
        The path of `results.json`.

    Raises:
        ValueError: a config that cannot run, in any family, before any work.
        FolderInUseError: another run is at work in the folder, or in a family's.
        RuntimeError: a worker process died, or every fine-tune of a family failed.
        KeyboardInterrupt: passed on; what is finished is kept.
    """
    check_labels(config)
    families = {name: family_config(config, name) for name in config.families}
    plans: dict[str, Plan] = {}
    for name, family in families.items():
        try:
            plans[name] = make_plan(family)
            check(family, plans[name])
        except (ValueError, ImportError) as error:
            leave_out = f"; families.{name}=null leaves it out" * isinstance(error, ImportError)
            raise ValueError(f"family {name!r}: {error}{leave_out}") from error
    with run_lock(out):
        write_atomically(out / CONFIG, dump_config(config))
        used = _run_families(families, out, workers, progress)
        found = {name: (plans[name], read(out / name / CELLS)) for name in families}
        write_json(out / RESULTS, summarise(config, found, used))
        write_report(out)
    return out / RESULTS


def _run_families(
    families: dict[str, BenchmarkConfig], out: Path, workers: int | None, progress: bool
) -> int:
    """Run each family's benchmark; return the number of processes used."""
    used = 1
    for number, (name, family) in enumerate(families.items(), 1):
        if progress and sys.stderr.isatty():
            print(f"family {name}, {number} of {len(families)}", file=sys.stderr)
        run_benchmark(family, out / name, workers=workers, progress=progress)
        used = _processes(out / name)
    return used


def _processes(folder: Path) -> int:
    from l2o.benchmarks.comparisons.results_file import load_results

    return int(load_results(folder).data["machine"]["processes"])
