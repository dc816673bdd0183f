"""Which of the networks that a run goes through is kept: named rules, and what each scores."""

from __future__ import annotations

import numpy as np

from l2o.benchmarks.cells.quantities import QUANTITIES, SOURCE, TARGET
from l2o.benchmarks.cells.record import Record
from l2o.benchmarks.cells.scores_by_name import UNLABELLED
from l2o.benchmarks.comparisons.table.matrices import RowScores
from l2o.benchmarks.statistics import Estimate, estimate

LABEL_FREE = ("entropy", "information", "snd", "dev")
"""Rules that go by the target's unlabelled images (`l2o.adaptation.LABEL_FREE`)."""
RULES = {"last": None, "source_validation": SOURCE, "target (oracle)": TARGET}
"""Rule -> the quantity that it goes by; the last looks at none, the oracle at the target itself."""


def kept_score(record: Record, rule: str) -> float:
    """Return what the network scores on the target that a rule keeps of a run.

    The networks are those of the run's curve; of equals the first is kept.
    """
    target = QUANTITIES[TARGET].named(record)
    if rule in LABEL_FREE:
        return _kept_by(record, rule)
    by = RULES[rule]
    if by is None or not record.curve:
        return target.of(record)
    told = QUANTITIES[by].named(record)
    best = max(record.curve, key=lambda point: told.sign * told.in_scores(point.scores))
    return target.in_scores(best.scores)


def _kept_by(record: Record, rule: str) -> float:
    """Return what the network scores that a score without labels keeps; NaN where none was made."""
    scored = [
        (value, point)
        for point in record.curve
        if (value := point.scores.get(UNLABELLED, {}).get(rule)) is not None
    ]
    if not scored:
        return float("nan")
    best = max(scored, key=lambda pair: pair[0])[1]
    return QUANTITIES[TARGET].named(record).in_scores(best.scores)


def selected_scores(scores: RowScores, resamples: int) -> dict[str, Estimate]:
    """Return the interquartile mean by each rule, at the default base LR; {} without curves."""
    runs, tasks = scores.at(scores.default_factor).shape
    found = {rule: np.full((runs, tasks), np.nan) for rule in (*RULES, *LABEL_FREE)}
    for factor, record in scores.records:
        if factor != scores.default_factor or len(record.curve) < 2:
            continue
        for rule, matrix in found.items():
            matrix[record.seed, record.task_seed] = kept_score(record, rule)
    if all(np.isnan(matrix).all() for matrix in found.values()):
        return {}
    return {
        rule: estimate(matrix, resamples=resamples)
        for rule, matrix in found.items()
        if rule in RULES or not np.isnan(matrix).all()
    }
