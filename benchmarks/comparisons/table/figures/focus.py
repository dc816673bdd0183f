"""Which rows a figure of a table names, with their looks, and at which base LRs."""

from __future__ import annotations

from l2o.benchmarks.comparisons.table.result_models import RowResult, TableResults
from l2o.benchmarks.comparisons.table.tables import rank
from l2o.benchmarks.report.figures.style import LOOKS, POLICY, Look

MAX_FOCUS = 1 + len(LOOKS)


def focus(results: TableResults, limit: int = 6) -> dict[str, Look]:
    """Choose the rows that a figure names, and their looks: label -> look.

    Learned policies come first, then rows written out in the config, then the best grid row of each
    layer profile. All others are drawn in grey.
    """
    best: dict[str, RowResult] = {}
    for row in sorted(results.rows, key=rank, reverse=True):
        if row.kind == "grid":
            best.setdefault(row.profile, row)
    learned = [row for row in results.rows if row.kind == "policy"]
    written = [row for row in results.rows if row.kind == "row"]
    # The look of MAX_FOCUS that is a learned policy's own is no other row's.
    room = MAX_FOCUS if learned else len(LOOKS)
    chosen = (learned + written + list(best.values()))[: min(limit, room)]
    others = iter(LOOKS)
    return {row.label: POLICY if row in learned[:1] else Look(*next(others)) for row in chosen}


def factors_shown(results: TableResults) -> list[float]:
    """Return the smallest, the default and the largest base-LR factor of the benchmark."""
    factors = sorted(results.counts.base_lr_factors)
    default = min(factors, key=lambda factor: max(factor, 1 / factor))
    return sorted({factors[0], default, factors[-1]})
