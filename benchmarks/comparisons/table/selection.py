"""Which of the networks that a run goes through is kept: named rules, and what each scores."""

from __future__ import annotations

import numpy as np

from l2o.benchmarks.cells.quantities import QUANTITIES, SOURCE, TARGET
from l2o.benchmarks.cells.record import Record
from l2o.benchmarks.comparisons.table.matrices import RowScores
from l2o.benchmarks.statistics import Estimate, estimate

RULES = {"last": None, "source_validation": SOURCE, "target (oracle)": TARGET}
"""Rule -> the quantity that it goes by; the last looks at none, the oracle at the target itself."""


def kept_score(record: Record, rule: str) -> float:
    """Return what the network scores on the target that a rule keeps of a run.

    The networks are those of the run's curve; of equals the first is kept.
    """
    target = QUANTITIES[TARGET].named(record)
    by = RULES[rule]
    if by is None or not record.curve:
        return target.of(record)
    told = QUANTITIES[by].named(record)
    best = max(record.curve, key=lambda point: told.sign * told.in_scores(point.scores))
    return target.in_scores(best.scores)


def selected_scores(scores: RowScores, resamples: int) -> dict[str, Estimate]:
    """Return the interquartile mean by each rule, at the default base LR; {} without curves."""
    runs, tasks = scores.at(scores.default_factor).shape
    found = {rule: np.full((runs, tasks), np.nan) for rule in RULES}
    for factor, record in scores.records:
        if factor != scores.default_factor or len(record.curve) < 2:
            continue
        for rule, matrix in found.items():
            matrix[record.seed, record.task_seed] = kept_score(record, rule)
    if all(np.isnan(matrix).all() for matrix in found.values()):
        return {}
    return {rule: estimate(matrix, resamples=resamples) for rule, matrix in found.items()}
