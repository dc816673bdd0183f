"""The looks that figures of a comparison over families share."""

from __future__ import annotations

from l2o.benchmarks.comparisons.zero_shot.result_models import ZeroShotResults
from l2o.benchmarks.comparisons.zero_shot.tables import ordered
from l2o.benchmarks.report.figures.style import LOOKS, POLICY, Look

NAMED = 3
"""How many untuned rivals a figure names."""


def looks(results: ZeroShotResults) -> dict[str, Look]:
    """Return how the named rows are drawn: label -> look.

    The policies, the grid tuned per task, and the untuned rivals with the highest mean over base
    LRs.
    """
    rows = [row for row in ordered(results.rows) if row.kind != "other_tasks"]
    untuned = [row for row in rows if row.kind in ("schedule", "rival")]
    named = [row for row in rows if row not in untuned] + untuned[:NAMED]
    others = iter(LOOKS)
    return {row.label: POLICY if row.kind == "policy" else Look(*next(others)) for row in named}
