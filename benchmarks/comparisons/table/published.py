"""A table beside a published one: whether its rows come out in the same order."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from l2o.benchmarks.cells.quantities import QUANTITIES, TARGET, Quantity
from l2o.benchmarks.comparisons.table.matrices import RowScores
from l2o.benchmarks.comparisons.table.result_models import (
    PublishedPair,
    PublishedResult,
    PublishedRow,
)
from l2o.benchmarks.report.tables import Table, in_unit
from l2o.benchmarks.statistics import complete, estimate, paired_difference


def compare_with_published(scores: Sequence[RowScores], resamples: int) -> list[PublishedResult]:
    """Compare rows that stand for published ones, quantity by quantity, pair by pair.

    A pair agrees if its rows differ in the direction published; it contradicts if they differ in
    the other one and the interval of the paired difference leaves zero out, so a pair of single
    runs, which has no interval, contradicts nothing. The base LR is the task's.

    Returns:
        One entry per quantity that at least two rows have a published figure for.
    """
    entries = []
    for name in QUANTITIES:
        rows = [row for row in scores if name in row.row.published]
        rows = [row for row in rows if complete(row.at(row.default_factor, name))[0].size]
        if len(rows) > 1:
            entries.append(_entry(name, rows, resamples))
    return entries


def _entry(name: str, rows: Sequence[RowScores], resamples: int) -> PublishedResult:
    pairs = [_pair(name, *pair, resamples) for pair in combinations(rows, 2)]
    pairs = [pair for pair in pairs if pair.published != 0]
    return PublishedResult(
        metric=name,
        rows=tuple(
            PublishedRow(
                label=row.row.label,
                published=row.row.published[name],
                here=estimate(row.at(row.default_factor, name), resamples=resamples),
            )
            for row in rows
        ),
        pairs=len(pairs),
        agree=sum(pair.difference.value * pair.published > 0 for pair in pairs),
        contradict=tuple(filter(_contradicts, pairs)),
    )


def _pair(name: str, one: RowScores, other: RowScores, resamples: int) -> PublishedPair:
    first, second = (row.at(row.default_factor, name) for row in (one, other))
    return PublishedPair(
        one=one.row.label,
        other=other.row.label,
        difference=paired_difference(first, second, resamples=resamples),
        published=one.row.published[name] - other.row.published[name],
    )


def _contradicts(pair: PublishedPair) -> bool:
    found = pair.difference
    return found.high < 0 if pair.published > 0 else found.low > 0


def published_tables(
    entries: Sequence[PublishedResult], main: Quantity = QUANTITIES[TARGET]
) -> list[Table]:
    """Return a table per quantity with published figures, and the pairs that contradict them."""
    tables = []
    for entry in entries:
        quantity = QUANTITIES[entry.metric].like(main)
        tables.append(_side_by_side(entry, quantity))
        if entry.contradict:
            tables.append(_contradictions(entry, quantity))
    return tables


def _side_by_side(entry: PublishedResult, quantity: Quantity) -> Table:
    rows = entry.rows
    here = _ranks([row.here.value for row in rows])
    there = _ranks([row.published for row in rows])
    note = (
        f"{entry.agree} of {entry.pairs} pairs of rows lie in the published order, "
        f"{len(entry.contradict)} contradict it with an interval that leaves out zero. Ranks "
        "are from the largest value down, at the default base LR."
    )
    return Table.of(
        f"Beside the published table: {quantity.words}",
        zip(rows, here, there, strict=True),
        {
            "row": lambda ranked: ranked[0].label,
            "here": lambda ranked: in_unit(quantity, ranked[0].here),
            "published": lambda ranked: f"{ranked[0].published:g}",
            "rank here": lambda ranked: str(ranked[1]),
            "rank published": lambda ranked: str(ranked[2]),
        },
        note,
    )


def _contradictions(entry: PublishedResult, quantity: Quantity) -> Table:
    return Table.of(
        f"Against the published order: {quantity.words}",
        entry.contradict,
        {
            "pair": lambda pair: f"{pair.one} − {pair.other}",
            "difference here": lambda pair: in_unit(quantity, pair.difference, signed=True),
            "published": lambda pair: f"{pair.published:+.4g}",
            "positive": lambda pair: f"{pair.difference.tasks_better}/{pair.difference.tasks}",
        },
    )


def _ranks(values: Sequence[float]) -> list[int]:
    return [1 + sum(other > value for other in values) for value in values]
