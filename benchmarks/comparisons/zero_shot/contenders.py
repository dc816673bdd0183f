"""What each contender scored on each family, from the records of the families' benchmarks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from l2o.benchmarks.cells.quantities import TARGET, is_at_chance
from l2o.benchmarks.cells.record import Record
from l2o.benchmarks.comparisons.claims import DEFAULT
from l2o.benchmarks.comparisons.results_file import Chosen
from l2o.benchmarks.comparisons.table.matrices import RowScores, gather
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
TUNED: dict[Kind, str] = {
    "source_validation": "grid tuned by source validation",
    "target_accuracy": "grid tuned by target accuracy (oracle)",
    "other_tasks": "one setting per family, chosen by target accuracy on its other tasks",
    "cross_fitted": "the same oracle, chosen by other target images",
}
"""Selection -> label of the grid that is tuned by it."""
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

    def scores(self, setting: str, families: list[str]) -> list[Matrix] | None:
        """Return scores by family, at the default base LR or in the mean over base LRs.

        None where it was not run at all base LRs.
        """
        own = [self.families[name] for name in families]
        found = [each.default if setting == DEFAULT else each.mean for each in own]
        known = [scores for scores in found if scores is not None]
        return known if len(known) == len(found) else None

    @property
    def records(self) -> list[Record]:
        """All fine-tunes that are there, of an untuned contender."""
        return [record for scores in self.families.values() for record in scores.records]


def gather_contenders(config: ZeroShotConfig, families: Families) -> list[Contender]:
    """Put the records of all families into contenders: untuned rows, then the tuned grid."""
    plans = {name: {row.label: row for row in plan.rows} for name, (plan, _) in families.items()}
    contenders = []
    for row in next(iter(plans.values())).values():
        if row.kind != "grid":
            scores = {
                name: _untuned(config, plans[name][row.label], records)
                for name, (_, records) in families.items()
            }
            label = contender_label(config, row.label)
            taken = _fine_tunes(config, row)
            contenders.append(Contender(label, _kind(config, row), taken, scores))
    grids = {
        name: [gather(row, records) for row in plan.rows if row.kind == "grid"]
        for name, (plan, records) in families.items()
    }
    points = sum(len(row.factors) for row in next(iter(grids.values())))
    for rule, label in TUNED.items():
        tasks = config.tasks - 1 if rule == "other_tasks" else 1
        if tasks:
            found = {name: _tuned(rule, rows) for name, rows in grids.items()}
            contenders.append(Contender(label, rule, points * config.seeds * tasks, found))
    return contenders


def _kind(config: ZeroShotConfig, row: PlannedRow) -> Kind:
    if row.label in (LEARNED, LITE):
        return "policy" if row.label == LEARNED else "lite"
    if row.label.endswith(UNTUNED):
        return "schedule"
    written = next(other for other in config.rows if other.label == row.label)
    return "schedule" if _is_schedule(written) else "rival"


def _fine_tunes(config: ZeroShotConfig, row: PlannedRow) -> int:
    """Return how many fine-tunes of a task a row takes: those of its search, and the chosen one."""
    search = next((other.search for other in config.rows if other.label == row.label), None)
    return 1 if search is None else search.fine_tunes + 1


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
