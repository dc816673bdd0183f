"""The ablation: policies learned with one thing changed each, on the same episodes."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from l2o.benchmarks.cells.record_file import CELLS, append, read_records
from l2o.benchmarks.comparisons.ablation.learn import learn, score
from l2o.benchmarks.comparisons.ablation.plan import Run, check_run, make_runs
from l2o.benchmarks.comparisons.ablation.result_models import (
    AblationFolder,
    AblationResults,
    RunRecord,
)
from l2o.benchmarks.comparisons.ablation.summary import Found, summarise
from l2o.benchmarks.comparisons.ablation.tables import changes_table, main_table
from l2o.benchmarks.comparisons.base import Comparison, Words
from l2o.benchmarks.comparisons.definitions import define, versions, where_run
from l2o.benchmarks.comparisons.results_file import Failure
from l2o.benchmarks.report.tables import Table
from l2o.configs.ablation import AblationConfig
from l2o.deciding.bundle import BundleError
from l2o.envs.build import build
from l2o.envs.runtime.run_lock import FolderInUseError
from l2o.envs.runtime.threads import one_thread
from l2o.envs.tasks import TASKS
from l2o.files.atomic import DamagedFileError
from l2o.policies.common.evaluation import Evaluator, evaluation_task

if TYPE_CHECKING:
    from l2o.benchmarks.report.figures.base import Drawing

LEARNED = "learned"
"""Folder of the training runs."""
_WORDS: tuple[str | tuple[str, str], ...] = (
    (
        "variant",
        "a policy that is learned as its reference is, but for what the table of changes names; "
        "the reference is the base, {base!r}, unless the table says otherwise.",
    ),
    (
        "score",
        "final {metric} on the real validation images of the target, mean over {episodes} drawn "
        "episodes of the meta-training split, of tasks that learning never draws, with the "
        "pretrained networks of `evaluation.task` (in the preset, none that learning uses). The "
        "held-out split is not looked at.",
    ),
    (
        "episodes",
        "the same for every variant: task, network, base LR, optimizer, guidance weight, batches, "
        "head, and which signals are withheld; drawn as the base's training draws them.",
    ),
    (
        "which policy",
        "the one that `l2o train` exports, the best of its evaluations; where there is one "
        "evaluation, at the end, the last policy.",
    ),
    (
        "difference",
        "mean of the differences to the reference, paired by episode and learning seed, in "
        "percentage points. Bold rows: the interval does not hold zero.",
    ),
    (
        "intervals",
        "95 % percentile-bootstrap intervals, {resamples} resamples of the episodes{seeds}. With "
        "some two dozen rows, one or two intervals miss zero by chance.",
    ),
    (
        "budget",
        "{fine_tunes} fine-tunes for each policy, imitation included, in whole iterations of the "
        "algorithm: short. What helps early need not help later, and the other way round; settings "
        "other than the one changed are not tuned again.",
    ),
    (
        "learning seeds",
        "{count}: another one draws other tasks, noise and first weights. How far apart policies "
        "are that differ in nothing else, the rows of the group `control` show, if there are any: "
        "a difference no larger than theirs may be the seed's.",
    ),
    ("minutes", "wall-clock of learning one policy in {processes}, scoring left out."),
    "at chance",
    "diverged",
)


@dataclass(frozen=True)
class Ran:
    """What there is after a run: the policies with their records, and what failed."""

    found: Found
    failures: Sequence[Failure]


class AblationComparison(Comparison[AblationConfig, list[Run], Ran, AblationResults]):
    """Each policy is a training run in `out/learned`; once scored, a line of `cells.jsonl`."""

    kind = "ablation"
    results = AblationResults
    missing = "policies"

    def plan(self, config: AblationConfig, workers: int | None) -> list[Run]:
        """Lay out the training runs."""
        runs = make_runs(config, workers)
        for run in runs:
            check_run(run)
        return runs

    def run_missing(
        self,
        config: AblationConfig,
        plan: list[Run],
        out: Path,
        workers: int | None,
        progress: bool,
    ) -> Ran:
        """Learn and score what has no record.

        Raises:
            RuntimeError: a scoring process died, or no variant could be learned.
        """
        with one_thread():
            failures = _learn_missing(plan, out, progress and sys.stderr.isatty())
        records = read_records(out / CELLS, RunRecord)
        found = [(run, records[run.id]) for run in plan if run.id in records]
        if not found:
            raise RuntimeError(f"no variant could be learned; the first: {failures[0].error}")
        return Ran(found, failures)

    def summarise(self, config: AblationConfig, plan: list[Run], found: Ran) -> AblationResults:
        """Return the content of `results.json`."""
        return summarise(config, found.found, found.failures)

    def main_tables(self, results: AblationResults) -> list[Table]:
        """Return the tables at the top of the report."""
        return [main_table(results)]

    def terminal_tables(self, results: AblationResults) -> list[Table]:
        """Return the main table for a terminal."""
        columns = ("", results.main.metric, "difference", "against", "minutes")
        return [main_table(results).narrow(*columns)]

    def detail_tables(self, results: AblationResults) -> list[Table]:
        """Return the tables after the figure."""
        return [changes_table(results)]

    def figures(self, results: AblationResults) -> Mapping[str, Drawing[AblationFolder]]:
        """Return the figure of the report."""
        from l2o.benchmarks.comparisons.ablation.forest import draw_forest
        from l2o.benchmarks.report.figures.base import Drawing

        caption = (
            f"Difference to {results.base!r}, or to the variant in brackets, paired over episodes, "
            "with 95 % intervals. Filled: the interval does not hold zero."
        )
        return {"forest": Drawing(draw_forest, "What each change does", caption)}

    def words(self, results: AblationResults) -> Words:
        """Return what the report says in sentences."""
        learned = [row for row in results.rows if row.seeds]
        policies, several = sum(len(row.seeds) for row in learned), len(results.seeds) > 1
        processes = results.machine["processes"]
        return Words(
            summary=f"{len(learned)} variants of the training config {results.train!r}, learning "
            f"seeds {', '.join(map(str, results.seeds))}: {policies} policies, each learned from "
            f"{results.fine_tunes} fine-tunes and scored on the same {results.episodes} drawn "
            f"episodes of the meta-training split. Learning took {where_run(results)}. "
            f"{versions(results)}",
            definitions=define(
                _WORDS,
                results.main.metric,
                base=results.base,
                episodes=results.episodes,
                fine_tunes=results.fine_tunes,
                resamples=results.bootstrap.resamples,
                seeds=" and of the learning seeds, few as they are"
                if several
                else " alone: they cover the choice of episodes, not that of the learning seed",
                count=len(results.seeds),
                processes="one process" if processes == 1 else f"{processes} processes",
            ),
            footer="Every policy is a training run of its own in `learned`; one line of "
            "cells.jsonl has its scores. All numbers of this page are in results.json, and "
            "config.yaml repeats the ablation.",
        )


def _learn_missing(runs: Sequence[Run], out: Path, shown: bool) -> list[Failure]:
    """Learn and score what has no record; return what failed."""
    done = read_records(out / CELLS, RunRecord)
    missing = [run for run in runs if run.id not in done]
    failures: list[Failure] = []
    if not missing:
        return failures
    base = runs[0].base.model_copy(update={"workers": runs[0].config.workers})
    build("task", TASKS, evaluation_task(base)).prepare(progress=shown)
    with closing(Evaluator(base)) as evaluator:
        for number, run in enumerate(missing, 1):
            if shown:
                print(f"{run.label}, {number} of {len(missing)}", file=sys.stderr)
            folder = out / LEARNED / run.folder
            try:
                record = score(run, folder, learn(run, folder, shown), evaluator)
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


ABLATION = AblationComparison()
