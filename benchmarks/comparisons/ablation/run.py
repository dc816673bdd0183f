"""Run an ablation: learn and score what is missing, then write results and report."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path

from l2o.benchmarks.cells.cell import Record
from l2o.benchmarks.cells.record_file import CELLS, append, mend, read
from l2o.benchmarks.comparisons.ablation.learn import learn, score
from l2o.benchmarks.comparisons.ablation.plan import Run, check_run, make_runs
from l2o.benchmarks.comparisons.ablation.report import write_report
from l2o.benchmarks.comparisons.ablation.summary import summarise
from l2o.benchmarks.comparisons.results_file import RESULTS
from l2o.configs.ablation import AblationConfig
from l2o.configs.load import dump_config
from l2o.deciding.bundle import BundleError
from l2o.envs.build import build
from l2o.envs.runtime.executor import WorkerDiedError
from l2o.envs.runtime.run_lock import FolderInUseError, run_lock
from l2o.envs.runtime.threads import one_thread
from l2o.envs.tasks import TASKS
from l2o.files.atomic import DamagedFileError, write_atomically
from l2o.files.seals import write_json
from l2o.policies.common.evaluation import Evaluator, evaluation_task

LEARNED = "learned"
"""Folder of the training runs."""


def run_ablation(
    config: AblationConfig, out: Path, workers: int | None = None, progress: bool = True
) -> Path:
    """Run what is missing of an ablation, and write its results and report.

    Each training run has a folder in `out/learned`, as `l2o train` writes it, and goes on where it
    stopped; once scored, it is one line of `cells.jsonl`.

    Args:
        config: the ablation.
        out: folder of the results; made when missing.
        workers: processes; None takes the training config's.
        progress: show which run is on, and its progress bar, if stderr is a terminal.

    Returns:
        The path of `results.json`.

    Raises:
        ValueError: a config that cannot run, in any variant, before any work.
        FolderInUseError: another run is at work in the folder, or in a variant's.
        DamagedFileError: a file that it goes on from is damaged.
        WorkerDiedError: a process that learns or scores has died.
        RuntimeError: no variant could be learned.
        KeyboardInterrupt: passed on; what is finished is kept.
    """
    runs = make_runs(config, workers)
    for run in runs:
        check_run(run)
    with run_lock(out), one_thread():
        mend(out / CELLS)
        write_atomically(out / "config.yaml", dump_config(config))
        failures = _run_missing(runs, out, progress and sys.stderr.isatty())
        records = read(out / CELLS)
        found = [(run, records[run.id]) for run in runs if run.id in records]
        if not found:
            raise RuntimeError(f"no variant could be learned; the first: {failures[0]['error']}")
        write_json(out / RESULTS, summarise(config, found, failures))
        write_report(out)
    return out / RESULTS


def _run_missing(runs: list[Run], out: Path, shown: bool) -> list[Record]:
    """Learn and score what has no record; return what failed."""
    done = read(out / CELLS)
    missing = [run for run in runs if run.id not in done]
    failures: list[Record] = []
    if not missing:
        return failures
    first = runs[0]
    base = first.base.model_copy(update={"workers": first.config.workers})
    build("task", TASKS, evaluation_task(base)).prepare(progress=shown)
    with closing(Evaluator(base)) as evaluator:
        for number, run in enumerate(missing, 1):
            if shown:
                print(f"{run.label}, {number} of {len(missing)}", file=sys.stderr)
            folder = out / LEARNED / run.folder
            try:
                record = score(run, folder, learn(run, folder, shown), evaluator)
            except (DamagedFileError, FolderInUseError, BundleError, WorkerDiedError):
                # To be mended by the user; what is there must not count as a failure to learn.
                raise
            except (ValueError, ArithmeticError, RuntimeError, EOFError, OSError) as error:
                # One variant that cannot be learned must not keep the others from it.
                reason = f"{type(error).__name__}: {error}"
                failures.append({"label": f"{run.label}, seed {run.seed}", "error": reason})
                continue
            append(out / CELLS, record)
    return failures
