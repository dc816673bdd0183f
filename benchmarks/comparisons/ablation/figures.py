"""The figure of an ablation's report: every variant's difference to its reference."""

from __future__ import annotations

from collections.abc import Callable

from matplotlib.figure import Figure

from l2o.benchmarks.comparisons.ablation.result_models import AblationFolder
from l2o.benchmarks.report.figures.intervals import Dot, Line, draw_lines


def draw_forest(folder: AblationFolder) -> Figure | None:
    """Draw one line per difference, groups under their names; None without any.

    Filled dots: the interval does not hold zero.
    """
    results, main, group = folder.results, folder.results.main, ""
    lines = []
    for row in results.rows:
        found = row.difference
        if found is None:
            continue
        if row.group != group:
            group = row.group
            lines.append(Line(group))
        other = "" if row.against == results.base else f" (against: {row.against})"
        scaled = found.scaled(main.differs_in[1])
        lines.append(Line(row.label + other, (Dot(scaled, filled=row.is_clear, size=5.5),)))
    if not lines:
        return None
    axis = f"difference in final {main.metric} on real images, {main.points}"
    return draw_lines(lines, axis, width=8.6, height=1.2 + 0.27 * len(lines))


FIGURES: dict[str, Callable[[AblationFolder], Figure | None]] = {"forest": draw_forest}
"""File stem -> what draws it; title and caption are in `report/templates/ablation.md`."""
