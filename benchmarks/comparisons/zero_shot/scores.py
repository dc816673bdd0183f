"""What each contender scored on each family, from the records of the families' benchmarks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from l2o.benchmarks.cells.cell import Record
from l2o.benchmarks.comparisons.table.plan import LEARNED, Plan, PlannedRow
from l2o.benchmarks.comparisons.table.score_matrices import RowScores, gather
from l2o.benchmarks.comparisons.table.selection import SELECTIONS, select
from l2o.benchmarks.comparisons.table.summary import is_at_chance
from l2o.benchmarks.comparisons.table.tuning import (
    cross_fitted,
    grid_scores,
    grid_settings,
    tuned_on_others,
)
from l2o.benchmarks.comparisons.zero_shot.plan import LITE, UNTUNED, contender_label
from l2o.benchmarks.statistics import Array
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
}
assert set(TUNED) == set(SELECTIONS)


_OF_SCHEDULES = frozenset(
    ("label", "schedule", "profile", "early_stopping", "base_lr_factors", "published")
)
"""Fields that a row may set and still be a schedule, and no other kind of rival."""


@dataclass(frozen=True)
class Scores:
    """What a contender scored on one family.

    Attributes:
        default: target accuracy at the default base LR, `[tasks, runs]`; missing runs are NaN.
        mean: its mean over base LRs, one number per run, `[tasks, runs]`; None where it was not run
            at all of them. Tuned contenders have one score, whatever the base LR was.
        by_factor: `[factors, tasks, runs]`; None for tuned ones.
        failed: of each fine-tune, whether it ended at chance or diverged, `[tasks, fine-tunes]`.
        at_chance: fine-tunes that ended at chance.
        diverged: fine-tunes that diverged.
        fine_tunes: all of them; each at a base LR of the contender.
        chosen: of a tuned contender, what was picked for each task.
    """

    default: Array
    mean: Array | None
    by_factor: Array | None = None
    failed: Array = field(default_factory=lambda: np.empty((0, 0)))
    at_chance: int = 0
    diverged: int = 0
    fine_tunes: int = 0
    chosen: tuple[dict[str, Any], ...] = ()


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
    families: dict[str, Scores]

    def default(self, families: list[str]) -> list[Array]:
        """Return scores at the default base LR."""
        return [self.families[name].default for name in families]

    def mean(self, families: list[str]) -> list[Array] | None:
        """Return means over base LRs; None where it was not run at all of them."""
        found = [self.families[name].mean for name in families]
        known = [scores for scores in found if scores is not None]
        return known if len(known) == len(found) else None


def gather_contenders(
    config: ZeroShotConfig, families: dict[str, tuple[Plan, dict[str, Record]]]
) -> list[Contender]:
    """Put the records of all families into contenders: untuned rows, then the tuned grid.

    Args:
        config: the comparison.
        families: of each, the plan of its benchmark and the records by cell id.
    """
    plans = {name: {row.label: row for row in plan.rows} for name, (plan, _) in families.items()}
    first = next(iter(plans.values()))
    contenders = [
        Contender(
            contender_label(config, row.label),
            _kind(config, row),
            1,
            {
                name: _untuned(config, plans[name][row.label], families[name][1])
                for name in families
            },
        )
        for row in first.values()
        if row.kind != "grid"
    ]
    grid = [row for row in first.values() if row.kind == "grid"]
    points = sum(len({cell.base_lr_factor for cell in row.cells}) for row in grid)
    for rule, label in TUNED.items():
        found = {name: _tuned(rule, *families[name]) for name in families}
        contenders.append(Contender(label, rule, points * config.seeds, found))
    if config.tasks > 1:
        shared = {name: _other_tasks(*families[name]) for name in families}
        elsewhere = points * config.seeds * (config.tasks - 1)
        contenders.append(Contender(OTHER_TASKS, "other_tasks", elsewhere, shared))
    fair = {name: _cross_fitted(*families[name]) for name in families}
    contenders.append(Contender(CROSS_FITTED, "cross_fitted", points * config.seeds, fair))
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


def _untuned(config: ZeroShotConfig, row: PlannedRow, records: dict[str, Record]) -> Scores:
    scores = gather(row, records)
    everywhere = scores.factors == tuple(sorted(set(config.base_lr_factors)))
    failed = np.full((len(scores.factors), *scores.at(scores.default_factor).shape), np.nan)
    for cell in row.cells:
        record = records.get(cell.id)
        if record is not None and record["error"] is None:
            place = scores.factors.index(cell.base_lr_factor), cell.seed, cell.task_seed
            failed[place] = is_at_chance(record) or record["diverged"]
    tasks = failed.shape[-1]
    return Scores(
        scores.at(scores.default_factor).T,
        scores.over(scores.factors).T if everywhere else None,
        scores.values["target_accuracy"].transpose(0, 2, 1),
        failed.reshape(-1, tasks).T,
        sum(map(is_at_chance, scores.records)),
        sum(record["diverged"] for record in scores.records),
        len(scores.records),
    )


def _grid(plan: Plan, records: dict[str, Record]) -> list[RowScores]:
    return [gather(row, records) for row in plan.rows if row.kind == "grid"]


def _cross_fitted(plan: Plan, records: dict[str, Record]) -> Scores:
    accuracy = cross_fitted(_grid(plan, records))
    return Scores(accuracy.T, accuracy.T)


def _other_tasks(plan: Plan, records: dict[str, Record]) -> Scores:
    rows = _grid(plan, records)
    picks, accuracy = tuned_on_others(rows)
    return Scores(accuracy.T, accuracy.T, chosen=_named(rows, picks))


def _tuned(rule: str, plan: Plan, records: dict[str, Record]) -> Scores:
    rows = _grid(plan, records)
    picks, accuracy = select(rule, grid_scores(rows))
    return Scores(accuracy.T, accuracy.T, chosen=_named(rows, picks))


def _named(rows: list[RowScores], picks: NDArray[np.int64]) -> tuple[dict[str, Any], ...]:
    settings = grid_settings(rows)
    return tuple(
        {"task": task, "label": settings[pick][0], "factor": settings[pick][1]}
        for task, pick in enumerate(picks.tolist())
    )
