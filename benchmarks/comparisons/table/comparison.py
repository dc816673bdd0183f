"""Paired comparisons: learned policies against schedules, and the claims of a benchmark."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from l2o.benchmarks.comparisons.table.score_matrices import RowScores, common_factors
from l2o.benchmarks.comparisons.table.tuning import Tuned
from l2o.benchmarks.statistics import Difference, Matrix, paired_difference
from l2o.configs.schema import Claim

DEFAULT = "default base LR"
MISJUDGED = "mean over base LRs"
SETTINGS = {
    "source_validation": "tuned by source validation",
    "target_accuracy": "tuned by target accuracy (oracle)",
}


def compare_policies(
    scores: list[RowScores], tuned: list[Tuned], resamples: int
) -> list[dict[str, Any]]:
    """Compare each learned policy with every other row and every tuned schedule, in pairs.

    The policy is never tuned. Against tuned schedules it runs at the task's default base LR.
    """
    others = [row for row in scores if row.row.kind != "policy"]
    return [
        {
            "label": policy.row.label,
            "fingerprint": policy.row.cells[0].fingerprint,
            "against": [
                *_against_rows(policy, others, resamples),
                *_against_tuned(policy, tuned, resamples),
            ],
        }
        for policy in scores
        if policy.row.kind == "policy"
    ]


def check_claims(
    claims: Iterable[Claim], scores: list[RowScores], resamples: int
) -> list[dict[str, Any]]:
    """Hold the table against each claim.

    A claim holds when the whole interval of the paired difference is above zero.
    """
    rows = {row.row.label: row for row in scores}
    checked = []
    for claim in claims:
        better, worse = rows[claim.better], rows[claim.worse]
        factors = common_factors(better, worse)
        first, second = better.over(factors, claim.metric), worse.over(factors, claim.metric)
        found = paired_difference(first, second, resamples=resamples)
        checked.append(claim.model_dump() | {"difference": found.to_json()} | judge(found))
    return checked


def judge(found: Difference) -> dict[str, Any]:
    """Put a difference into words: only an interval above zero holds."""
    low, high = found.estimate.low, found.estimate.high
    if low > 0:
        return {"holds": True, "verdict": "holds"}
    if high < 0:
        return {"holds": False, "verdict": "the opposite holds"}
    if found.estimate.value > 0:
        return {"holds": False, "verdict": "not resolved, leaning that way"}
    return {"holds": False, "verdict": "not resolved"}


def _against_rows(
    policy: RowScores, others: list[RowScores], resamples: int
) -> list[dict[str, Any]]:
    entries = []
    for other in others:
        factors = common_factors(policy, other)
        if policy.default_factor in factors:
            here = (policy.default_factor,)
            pair = policy.over(here), other.over(here)
            entries.append(_entry(other.row.label, DEFAULT, pair, resamples) | _facts(other))
        if len(factors) > 1:
            pair = policy.over(factors), other.over(factors)
            entries.append(_entry(other.row.label, MISJUDGED, pair, resamples) | _facts(other))
    return entries


def _against_tuned(policy: RowScores, tuned: list[Tuned], resamples: int) -> list[dict[str, Any]]:
    own = policy.at(policy.default_factor)
    return [
        _entry(entry.schedule, SETTINGS[entry.selection], (own, entry.accuracy), resamples)
        for entry in tuned
        if entry.accuracy.shape == own.shape
    ]


def _entry(label: str, setting: str, pair: tuple[Matrix, Matrix], resamples: int) -> dict[str, Any]:
    found = paired_difference(*pair, resamples=resamples)
    return {"label": label, "setting": setting, "difference": found.to_json()} | judge(found)


def _facts(other: RowScores) -> dict[str, Any]:
    return {"kind": other.row.kind, "profile": other.row.profile}
