"""A table beside a published one: whether its rows come out in the same order."""

from __future__ import annotations

from itertools import combinations
from typing import Any

from l2o.benchmarks.comparisons.table.score_matrices import METRICS, RowScores
from l2o.benchmarks.statistics import complete, estimate, paired_difference


def compare_with_published(scores: list[RowScores], resamples: int) -> list[dict[str, Any]]:
    """Compare rows that stand for published ones, metric by metric, pair by pair.

    A pair agrees if its rows differ in the direction published; it contradicts if they differ in
    the other one and the interval of the paired difference leaves zero out, so a pair of single
    runs, which has no interval, contradicts nothing. The base LR is the task's.

    Returns:
        One entry per metric that at least two rows have a published figure for.
    """
    entries = []
    for metric in METRICS:
        rows = [row for row in scores if metric in row.row.published]
        rows = [row for row in rows if complete(row.at(row.default_factor, metric))[0].size]
        if len(rows) > 1:
            entries.append(_entry(metric, rows, resamples))
    return entries


def _entry(metric: str, rows: list[RowScores], resamples: int) -> dict[str, Any]:
    pairs = [_pair(metric, *pair, resamples) for pair in combinations(rows, 2)]
    pairs = [pair for pair in pairs if pair["published"] != 0]
    return {
        "metric": metric,
        "rows": [
            {
                "label": row.row.label,
                "published": row.row.published[metric],
                "here": estimate(row.at(row.default_factor, metric), resamples=resamples).to_json(),
            }
            for row in rows
        ],
        "pairs": len(pairs),
        "agree": sum(map(_agrees, pairs)),
        "contradict": [pair for pair in pairs if _contradicts(pair)],
    }


def _pair(metric: str, one: RowScores, other: RowScores, resamples: int) -> dict[str, Any]:
    matrices = (row.at(row.default_factor, metric) for row in (one, other))
    found = paired_difference(*matrices, resamples=resamples)
    published = one.row.published[metric] - other.row.published[metric]
    return {
        "one": one.row.label,
        "other": other.row.label,
        "difference": found.to_json(),
        "published": published,
    }


def _agrees(pair: dict[str, Any]) -> bool:
    value = pair["difference"]["value"]
    return value is not None and bool(value * pair["published"] > 0)


def _contradicts(pair: dict[str, Any]) -> bool:
    found = pair["difference"]
    if found["low"] is None:
        return False
    return bool(found["high"] < 0 if pair["published"] > 0 else found["low"] > 0)
