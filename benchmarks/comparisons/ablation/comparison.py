"""The ablation: policies learned with one thing changed each, on the same episodes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from l2o.benchmarks.cells.record import Failure
from l2o.benchmarks.cells.record_file import CELLS, append, read_records
from l2o.benchmarks.comparisons.ablation.learn import learn, score
from l2o.benchmarks.comparisons.ablation.plan import Run, check_run, make_runs
from l2o.benchmarks.comparisons.ablation.result_models import AblationResults, RunRecord
from l2o.benchmarks.comparisons.ablation.summary import Found, summarise
from l2o.benchmarks.comparisons.ablation.tables import tables
from l2o.benchmarks.comparisons.base import Comparison
from l2o.configs.ablation import AblationConfig
from l2o.deciding.bundle import BundleError
from l2o.envs.objectives.build import build_objective
from l2o.envs.runtime.run_lock import FolderInUseError
from l2o.envs.runtime.threads import one_thread
from l2o.envs.tasks.build import build_task
from l2o.files.atomic import DamagedFileError
from l2o.policies.common.evaluation import Evaluator, evaluation_task

LEARNED = "learned"
"""Folder of the training runs."""


class Ran(NamedTuple):
    """What there is after a run: the policies with their records, and what failed."""

    found: Found
    failures: Sequence[Failure]


def plan_runs(config: AblationConfig, workers: int | None) -> list[Run]:
    """Lay out the training runs."""
    runs = make_runs(config, workers)
    for run in runs:
        check_run(run)
    return runs


def run_policies(
    config: AblationConfig, runs: list[Run], out: Path, workers: int | None, progress: bool
) -> Ran:
    """Learn and score what has no record.

    Raises:
        RuntimeError: a scoring process died, or no variant could be learned.
    """
    del config, workers  # each run has its own
    with one_thread():
        failures = _learn_missing(runs, out, progress and sys.stderr.isatty())
    records = read_records(out / CELLS, RunRecord)
    found = [(run, records[run.id]) for run in runs if run.id in records]
    if not found:
        raise RuntimeError(f"no variant could be learned; the first: {failures[0].error}")
    return Ran(found, failures)


def _learn_missing(runs: Sequence[Run], out: Path, shown: bool) -> list[Failure]:
    """Learn and score what has no record; return what failed."""
    done = read_records(out / CELLS, RunRecord)
    missing = [run for run in runs if run.id not in done]
    failures: list[Failure] = []
    if not missing:
        return failures
    base = runs[0].base.model_copy(update={"workers": runs[0].config.workers})
    family = build_task(evaluation_task(base))
    family.prepare(progress=shown)
    metric = build_objective(family.objective).metric()
    with closing(Evaluator(base)) as evaluator:
        for number, run in enumerate(missing, 1):
            if shown:
                print(f"{run.label}, {number} of {len(missing)}", file=sys.stderr)
            folder = out / LEARNED / run.folder
            try:
                record = score(run, folder, learn(run, folder, shown), evaluator, metric)
            except (DamagedFileError, FolderInUseError, BundleError):
                # To be mended by the user; what is there must not count as a failure to learn.
                raise
            except BrokenProcessPool as error:
                raise RuntimeError(f"a scoring process died: {error}") from error
            except (ValueError, ArithmeticError, RuntimeError, EOFError, OSError) as error:
                # One variant that cannot be learned must not keep the others from it.
                reason = f"{type(error).__name__}: {error}"
                failures.append(Failure(label=f"{run.label}, seed {run.seed}", error=reason))
                continue
            append(out / CELLS, record)
    return failures


ABLATION = Comparison(
    kind="ablation",
    results=AblationResults,
    plan=plan_runs,
    run_missing=run_policies,
    summarise=lambda config, runs, ran: summarise(config, ran.found, ran.failures),
    tables=tables,
    figures="l2o.benchmarks.comparisons.ablation.figures:FIGURES",
    missing="policies",
)
"""Each policy is a training run in `out/learned`; once scored, it is a line of `cells.jsonl`."""
