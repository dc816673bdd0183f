"""The zero-shot comparison: each family as a table of its own, then the summary over all."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from l2o.benchmarks.cells.record import Record
from l2o.benchmarks.cells.record_file import CELLS, read_records
from l2o.benchmarks.comparisons.base import Comparison, Words
from l2o.benchmarks.comparisons.definitions import at_base_lrs, define, lacking, versions, where_run
from l2o.benchmarks.comparisons.results_file import read_results
from l2o.benchmarks.comparisons.table.comparison import TABLE
from l2o.benchmarks.comparisons.table.plan import Plan
from l2o.benchmarks.comparisons.table.result_models import TableResults
from l2o.benchmarks.comparisons.zero_shot import tables
from l2o.benchmarks.comparisons.zero_shot.contenders import CROSS_FITTED, OTHER_TASKS, Families
from l2o.benchmarks.comparisons.zero_shot.plan import check_labels, family_config
from l2o.benchmarks.comparisons.zero_shot.result_models import ZeroShotFolder, ZeroShotResults
from l2o.benchmarks.comparisons.zero_shot.summary import summarise
from l2o.configs.zero_shot import ZeroShotConfig

if TYPE_CHECKING:
    from l2o.benchmarks.report.figures.base import Drawing

_WORDS: tuple[str | tuple[str, str], ...] = (
    "target score",
    (
        "family",
        "a distribution of held-out tasks and the way they are fine-tuned. Unseen ones have an "
        "architecture, an optimizer or a kind of data that the policy was never learned on.",
    ),
    ("default base LR", "the base learning rate that the family gives, not tuned for any row."),
    (
        "mean over base LRs",
        "each run's score is its mean over all base-LR factors, the default included; failures at "
        "extreme rates count in full, since the mean comes before any trimming.",
    ),
    (
        "estimates",
        "interquartile means over the runs of all tasks of all families: a quarter of the runs is "
        "trimmed at each end (Agarwal et al., 2021). A difference is that of two such means, over "
        "the same tasks.",
    ),
    (
        "intervals",
        "95 % percentile-bootstrap intervals, {resamples} resamples: families are strata, within "
        "each the tasks are drawn with replacement, each with its runs of both sides, and with "
        "what tuning chose for it. They cover the choice of tasks, not that of families.",
    ),
    (
        "grid tuned by source validation",
        "for each task, the setting of the grid of {points} with the highest {metric} on held-out "
        "synthetic images, ties by the lower loss there, then by the grid's order; means over "
        "seeds. It is what a user can do. It has one score, whatever base LR the user guessed: the "
        "grid holds its own base LRs.",
    ),
    (
        "grid tuned by target score (oracle)",
        "the same, chosen by the target {metric} itself, which no user has. It is the maximum of "
        "noisy scores, scored by the same runs: optimistic.",
    ),
    (
        CROSS_FITTED,
        "the setting that is best on one half of the target's test images (of every class), scored "
        "on the other half, and the other way round; the mean of both. Still no user's choice, but "
        "without the optimism of a maximum that is scored by what it was chosen by. No claim is "
        "held against it.",
    ),
    (
        OTHER_TASKS,
        "the one setting of the grid that is best on all other tasks of the family, by the target "
        "{metric} that no user has, scored on the task that is left out. What a schedule gains "
        "by knowing the family, but not the task; what the oracle gains beyond it takes a look at "
        "the task's own target. No claim is held against it.",
    ),
    ("untuned", "one fine-tune at the base LR as guessed, with no look at validation."),
    "at chance",
    "diverged",
    (
        "P(better)",
        "the probability that a run of the one is better than a run of the other on the same task, "
        "ties counted half; the mean over tasks.",
    ),
    (
        "performance profile",
        "the share of runs that reach at least a target {metric}. A curve that lies above another "
        "one everywhere is better throughout.",
    ),
)


@dataclass(frozen=True)
class Ran:
    """What there is after a run: of each family plan and records, and how many processes."""

    families: Families
    workers: int


class ZeroShotComparison(Comparison[ZeroShotConfig, dict[str, Plan], Ran, ZeroShotResults]):
    """One policy on held-out families; each has a folder that is a table's own."""

    kind = "zero_shot"
    results = ZeroShotResults

    def plan(self, config: ZeroShotConfig, workers: int | None) -> dict[str, Plan]:
        """Lay out each family's table."""
        check_labels(config)
        plans = {}
        for name in config.families:
            try:
                plans[name] = TABLE.plan(family_config(config, name), workers)
            except (ValueError, ImportError) as error:
                leave_out = f"; families.{name}=null leaves it out" * isinstance(error, ImportError)
                raise ValueError(f"family {name!r}: {error}{leave_out}") from error
        return plans

    def run_missing(
        self,
        config: ZeroShotConfig,
        plan: dict[str, Plan],
        out: Path,
        workers: int | None,
        progress: bool,
    ) -> Ran:
        """Run each family's table."""
        used = 1
        for number, name in enumerate(plan, 1):
            if progress and sys.stderr.isatty():
                print(f"family {name}, {number} of {len(plan)}", file=sys.stderr)
            TABLE.run(family_config(config, name), out / name, workers, progress)
            used = int(read_results(out / name, TableResults).machine["processes"])
        found = {name: read_records(out / name / CELLS, Record) for name in plan}
        return Ran({name: (plan[name], found[name]) for name in plan}, used)

    def summarise(
        self, config: ZeroShotConfig, plan: dict[str, Plan], found: Ran
    ) -> ZeroShotResults:
        """Return the content of `results.json`."""
        return summarise(config, found.families, found.workers)

    main_tables = staticmethod(tables.main_tables)
    terminal_tables = staticmethod(tables.terminal_tables)
    detail_tables = staticmethod(tables.detail_tables)

    def figures(self, results: ZeroShotResults) -> Mapping[str, Drawing[ZeroShotFolder]]:
        """Return the figures of the report."""
        from l2o.benchmarks.comparisons.zero_shot.figures import FIGURES

        return FIGURES

    def words(self, results: ZeroShotResults) -> Words:
        """Return what the report says in sentences."""
        counts, families = results.counts, results.families
        unseen = ", ".join(name for name, family in families.items() if family.unseen) or "none"
        return Words(
            summary=f"{counts.families} families of held-out tasks ({', '.join(families)}; unseen: "
            f"{unseen}) × {counts.tasks} tasks × {counts.seeds} seeds, {at_base_lrs(counts)}, "
            f"beside a grid of {counts.grid_points} points: {lacking(counts)}, "
            f"{where_run(results)}. {versions(results)}",
            definitions=define(
                _WORDS,
                results.main.metric,
                resamples=results.bootstrap.resamples,
                points=counts.grid_points,
                limit=". Counted for each fine-tune, at each base LR, on its own",
            ),
            footer=f"Tasks are family seeds 0 to {counts.tasks - 1}, fine-tunes are seeds 0 to "
            f"{counts.seeds - 1}. Each family's folder is a benchmark with a report of its own; "
            "all numbers of this page are in results.json, and config.yaml repeats the comparison.",
        )


ZERO_SHOT = ZeroShotComparison()
