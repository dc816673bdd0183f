"""The forest plot: every variant's difference to its reference, with its interval."""

from __future__ import annotations

from matplotlib.figure import Figure

from l2o.benchmarks.comparisons.ablation.result_models import AblationFolder
from l2o.benchmarks.report.figures.intervals import Dot, Line, draw_lines


def draw_forest(folder: AblationFolder) -> Figure | None:
    """Draw one line per difference, groups under their names; None without any.

    Filled dots: the interval does not hold zero.
    """
    results, group = folder.results, ""
    lines = []
    for row in results.rows:
        found = row.difference
        if found is None:
            continue
        if row.group != group:
            group = row.group
            lines.append(Line(group))
        other = "" if row.against == results.base else f" (against: {row.against})"
        lines.append(
            Line(row.label + other, (Dot(found.scaled(100), filled=row.is_clear, size=5.5),))
        )
    if not lines:
        return None
    axis = f"difference in final {results.main.metric} on real images, percentage points"
    return draw_lines(lines, axis, width=8.6, height=1.2 + 0.27 * len(lines))
