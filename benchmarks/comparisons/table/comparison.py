"""The table: rows x tasks x seeds on one family of tasks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from l2o.benchmarks.cells.record import Record
from l2o.benchmarks.cells.record_file import CELLS, read_records
from l2o.benchmarks.comparisons.base import Comparison, Words
from l2o.benchmarks.comparisons.definitions import at_base_lrs, define, lacking, versions, where_run
from l2o.benchmarks.comparisons.results_file import RESULTS, Finished, read_results
from l2o.benchmarks.comparisons.table import tables
from l2o.benchmarks.comparisons.table.matrices import NEAR_CHANCE
from l2o.benchmarks.comparisons.table.missing_cells import Ran, check, run_cells
from l2o.benchmarks.comparisons.table.plan import Plan, make_plan
from l2o.benchmarks.comparisons.table.result_models import TableFolder, TableResults
from l2o.benchmarks.comparisons.table.summary import summarise
from l2o.configs.schema import BenchmarkConfig
from l2o.files.atomic import DamagedFileError

if TYPE_CHECKING:
    from l2o.benchmarks.report.figures.base import Drawing

_WORDS: tuple[str | tuple[str, str], ...] = (
    "target score",
    (
        "proxy kept",
        "{metric} of the pretrained model's own head on the fine-tuned backbone, on held-out "
        "images of what it was pretrained on.",
    ),
    ("source", "{metric} on held-out synthetic images: what a user sees."),
    (
        "estimates",
        "interquartile means: the mean of the middle half of all runs on all tasks (Agarwal et "
        "al., 2021).",
    ),
    (
        "intervals",
        "95 % percentile-bootstrap intervals, {resamples} resamples of the runs within each task. "
        "They cover the chance in the runs (new head, batches), not the choice of tasks, and with "
        "few seeds they are somewhat too narrow.",
    ),
    (
        "default base LR",
        "the base learning rate that the task gives (or the nearest to it that was run), not tuned "
        "for any row. The first columns of the results are at this one.",
    ),
    (
        "mean over base LRs",
        "each run's score is its mean over all base-LR factors (the user guessed wrong by up to "
        "that much, either way); failures at extreme rates count in full.",
    ),
    (
        "paired differences",
        "means of the differences between runs that share task, seed (head and batches) and base "
        "learning rate. Every run counts, also those at chance. A claim holds when the whole "
        "interval is above zero.",
    ),
    (
        "new tasks",
        "the interval of a paired difference when the tasks are resampled, too (two-stage "
        "bootstrap): what to expect on other tasks of the family. Wide where tasks differ.",
    ),
    (
        "tuned by source validation",
        "the best setting per task by {metric} on held-out synthetic images, ties by the lower "
        "loss there, means over seeds: what a user can do.",
    ),
    (
        "tuned by target score (oracle)",
        "the best setting per task by the target {metric} itself, which no user has. It is the "
        "maximum of noisy means, scored by the same runs: optimistic. Paired with the learned "
        "policy at the default base LR, on the same tasks and seeds.",
    ),
    "at chance",
    "diverged",
    (
        "learned policy",
        "one policy, the same for every task and base learning rate; never tuned on a task.",
    ),
)


class TableComparison(Comparison[BenchmarkConfig, Plan, Ran, TableResults]):
    """Rows on one family of tasks; each fine-tune is one line of `cells.jsonl`."""

    kind = "table"
    results = TableResults
    reports = False

    def plan(self, config: BenchmarkConfig, workers: int | None) -> Plan:
        """Lay out rows and cells, and build everything that has a name."""
        plan = make_plan(config)
        check(config, plan)
        return plan

    def run_missing(
        self, config: BenchmarkConfig, plan: Plan, out: Path, workers: int | None, progress: bool
    ) -> Ran:
        """Run the cells without a good record."""
        return run_cells(config, plan, out, workers, progress)

    def summarise(self, config: BenchmarkConfig, plan: Plan, found: Ran) -> TableResults:
        """Return the content of `results.json`."""
        return summarise(config, plan, found.records, found.workers)

    def check_found(self, plan: Plan, found: Ran) -> None:
        """Refuse a table in which every fine-tune failed."""
        errors = [found.records[cell.id].error for cell in plan.cells]
        if all(error is not None for error in errors):
            raise RuntimeError(f"every fine-tune failed; the first: {errors[0]}")

    def load(self, directory: Path) -> TableFolder:
        """Read a folder, with the records of its fine-tunes.

        A folder of results alone has no file of records, and needs none.
        """
        results, path = read_results(directory, TableResults), directory / CELLS
        records = read_records(path, Record)
        lacking = {id for row in results.rows for id in row.cells} - records.keys()
        if lacking and path.exists():
            remedy = "run the same `l2o benchmark` command again, which runs what is missing"
            reason = f"lacks {len(lacking)} fine-tunes that {RESULTS} speaks of"
            raise DamagedFileError(path, reason, remedy)
        return Finished(directory, results, records)

    main_tables = staticmethod(tables.main_tables)
    terminal_tables = staticmethod(tables.terminal_tables)
    detail_tables = staticmethod(tables.detail_tables)

    def figures(self, results: TableResults) -> Mapping[str, Drawing[TableFolder]]:
        """Return the figures of the report."""
        from l2o.benchmarks.comparisons.table.figures import FIGURES

        return FIGURES

    def words(self, results: TableResults) -> Words:
        """Return what the report says in sentences."""
        counts, chance = results.counts, results.main.chance
        return Words(
            summary=f"{counts.rows} rows × {counts.tasks} held-out tasks × {counts.seeds} seeds, "
            f"{at_base_lrs(counts)}: {lacking(counts)}, {where_run(results)}. {counts.diverged} "
            f"diverged; {counts.at_chance} ended at chance. {versions(results)}",
            definitions=define(
                _WORDS,
                results.main.metric,
                resamples=results.bootstrap.resamples,
                limit="" if chance is None else f", here {100 * NEAR_CHANCE * chance:.0f} %",
            ),
            footer=f"Tasks are family seeds 0 to {counts.tasks - 1}, fine-tunes are seeds 0 to "
            f"{counts.seeds - 1}. Every fine-tune is one line of cells.jsonl; all numbers of this "
            "page are in results.json, and config.yaml repeats the benchmark.",
        )


TABLE = TableComparison()
