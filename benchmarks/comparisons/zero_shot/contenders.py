"""What each contender scored on each family, from the records of the families' benchmarks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from l2o.benchmarks.cells.quantities import TARGET
from l2o.benchmarks.cells.record import Record
from l2o.benchmarks.comparisons.results_file import Chosen
from l2o.benchmarks.comparisons.table.matrices import RowScores, gather, is_at_chance
from l2o.benchmarks.comparisons.table.plan import LEARNED, Plan, PlannedRow
from l2o.benchmarks.comparisons.table.tuning import grid_scores, name_chosen, select
from l2o.benchmarks.comparisons.zero_shot.plan import LITE, UNTUNED, contender_label
from l2o.benchmarks.statistics import Array, Matrix
from l2o.configs.schema import Row
from l2o.configs.zero_shot import ZeroShotConfig

Kind = Literal[
    "policy",
    "lite",
    "schedule",
    "rival",
    "source_validation",
    "target_accuracy",
    "other_tasks",
    "cross_fitted",
]
"""`schedule` and `rival` are untuned; the last four are the grid, tuned by that selection."""
OTHER_TASKS = "one setting per family, chosen by target accuracy on its other tasks"
"""Label of the grid's setting that is tuned with real labels, but not on the task itself."""
CROSS_FITTED = "the same oracle, chosen by other target images"
"""Label of the oracle that is not scored by the images it chose by."""
TUNED: dict[Kind, str] = {
    "source_validation": "grid tuned by source validation",
    "target_accuracy": "grid tuned by target accuracy (oracle)",
    "other_tasks": OTHER_TASKS,
    "cross_fitted": CROSS_FITTED,
}
Families = Mapping[str, tuple[Plan, Mapping[str, Record]]]
"""Of each family, the plan of its benchmark and the records by cell id."""

_OF_SCHEDULES = frozenset(
    ("label", "schedule", "profile", "early_stopping", "base_lr_factors", "published")
)
"""Fields that a row may set and still be a schedule, and no other kind of rival."""


@dataclass(frozen=True)
class FamilyScores:
    """What a contender scored on one family.

    Attributes:
        default: at the default base LR, `[runs, tasks]`; missing runs are NaN.
        mean: the mean over base LRs, one number per run; None where it was not run at all of them.
            Tuned contenders have one score, whatever the base LR was.
        untuned: at each base LR, with the records; None for tuned ones.
        chosen: of a tuned contender, what was picked for each task.
    """

    default: Matrix
    mean: Matrix | None
    untuned: RowScores | None = None
    chosen: tuple[Chosen, ...] = ()

    @property
    def records(self) -> list[Record]:
        """All fine-tunes that are there, each at a base LR of the contender."""
        return [] if self.untuned is None else [record for _, record in self.untuned.records]

    @property
    def at_chance(self) -> int:
        """Fine-tunes that ended at chance."""
        return sum(map(is_at_chance, self.records))

    @property
    def diverged(self) -> int:
        """Fine-tunes that diverged."""
        return sum(record.diverged for record in self.records)

    def failed(self) -> Array:
        """Return which fine-tunes ended at chance or diverged, `[fine-tunes of a task, tasks]`."""
        assert self.untuned is not None
        flags = np.full_like(self.untuned.values[TARGET], np.nan)
        for factor, record in self.untuned.records:
            place = self.untuned.factors.index(factor), record.seed, record.task_seed
            flags[place] = is_at_chance(record) or record.diverged
        return flags.reshape(-1, flags.shape[-1])


@dataclass(frozen=True)
class Contender:
    """One row of the comparison.

    Attributes:
        label: name in the tables.
        kind: what it is.
        fine_tunes: how many it takes to get there on one task.
        families: what it scored, by family.
    """

    label: str
    kind: Kind
    fine_tunes: int
    families: Mapping[str, FamilyScores]

    def default(self, families: list[str]) -> list[Matrix]:
        """Return scores at the default base LR."""
        return [self.families[name].default for name in families]

    def mean(self, families: list[str]) -> list[Matrix] | None:
        """Return means over base LRs; None where it was not run at all of them."""
        found = [self.families[name].mean for name in families]
        known = [scores for scores in found if scores is not None]
        return known if len(known) == len(found) else None


def gather_contenders(config: ZeroShotConfig, families: Families) -> list[Contender]:
    """Put the records of all families into contenders: untuned rows, then the tuned grid."""
    plans = {name: {row.label: row for row in plan.rows} for name, (plan, _) in families.items()}
    first = list(next(iter(plans.values())).values())
    contenders = []
    for row in first:
        if row.kind != "grid":
            scores = {
                name: _untuned(config, plans[name][row.label], records)
                for name, (_, records) in families.items()
            }
            label = contender_label(config, row.label)
            contenders.append(Contender(label, _kind(config, row), 1, scores))
    grids = {
        name: [gather(row, records) for row in plan.rows if row.kind == "grid"]
        for name, (plan, records) in families.items()
    }
    points = sum(len(row.factors) for row in next(iter(grids.values())))
    for rule, label in TUNED.items():
        if rule == "other_tasks" and config.tasks == 1:
            continue
        found = {name: _tuned(rule, rows) for name, rows in grids.items()}
        tasks = config.tasks - 1 if rule == "other_tasks" else 1
        contenders.append(Contender(label, rule, points * config.seeds * tasks, found))
    return contenders


def _kind(config: ZeroShotConfig, row: PlannedRow) -> Kind:
    if row.label in (LEARNED, LITE):
        return "policy" if row.label == LEARNED else "lite"
    if row.label.endswith(UNTUNED):
        return "schedule"
    written = next(other for other in config.rows if other.label == row.label)
    return "schedule" if _is_schedule(written) else "rival"


def _is_schedule(row: Row) -> bool:
    """Tell whether a row differs from the grid's in schedule, profile and early stopping alone."""
    fields = Row.model_fields.items()
    changed = {name for name, field in fields if getattr(row, name) != field.default}
    return changed <= _OF_SCHEDULES


def _untuned(
    config: ZeroShotConfig, row: PlannedRow, records: Mapping[str, Record]
) -> FamilyScores:
    scores = gather(row, records)
    everywhere = scores.factors == tuple(sorted(set(config.base_lr_factors)))
    mean = scores.over(scores.factors) if everywhere else None
    return FamilyScores(scores.at(scores.default_factor), mean, scores)


def _tuned(rule: str, rows: list[RowScores]) -> FamilyScores:
    picks, scores = select(rule, grid_scores(rows))
    return FamilyScores(scores, scores, chosen=name_chosen(rows, picks, scores))
