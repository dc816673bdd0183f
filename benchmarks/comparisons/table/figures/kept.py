"""The main score on the target against the one kept on the proxy: gained, and forgotten."""

from __future__ import annotations

from matplotlib.figure import Figure

from l2o.benchmarks.cells.quantities import KEPT, QUANTITIES, TARGET
from l2o.benchmarks.comparisons.table.figures.focus import focus
from l2o.benchmarks.comparisons.table.result_models import TableFolder
from l2o.benchmarks.report.figures.style import GREY, in_percent, legend_below, new_figure, tidy
from l2o.benchmarks.statistics import Estimate


def draw_kept(folder: TableFolder) -> Figure | None:
    """Draw a point with both intervals per row, at the default base LR."""
    looks = focus(folder.results, limit=8)
    points = {
        row.label: row.default
        for row in folder.results.rows
        if row.default.scores[KEPT].is_known and row.default.scores[TARGET].is_known
    }
    if len(points) < 2:
        return None
    figure = new_figure(7.2, 4.8)
    axes = figure.subplots()
    others = [block for label, block in points.items() if label not in looks]
    if others:
        axes.plot(
            [block.scores[KEPT].value for block in others],
            [block.scores[TARGET].value for block in others],
            color=GREY,
            marker="o",
            markersize=4,
            linestyle="none",
            label=f"other schedules ({len(others)})",
        )
    for label, look in looks.items():
        if label in points:
            kept, target = points[label].scores[KEPT], points[label].scores[TARGET]
            style = look.as_dict() | {"linestyle": "none", "markersize": 8}
            axes.errorbar(
                [kept.value],
                [target.value],
                xerr=_bars(kept),
                yerr=_bars(target),
                label=label,
                capsize=2.5,
                elinewidth=1,
                **style,
            )
    main = folder.results.main
    axes.set_xlabel(f"{QUANTITIES[KEPT].words} kept (what the network knew before)")
    axes.set_ylabel(f"{main.words} (real images)")
    if main.unit == "%":
        in_percent(axes.xaxis)
        in_percent(axes.yaxis)
    tidy(axes)
    legend_below(figure, axes)
    return figure


def _bars(found: Estimate) -> list[list[float]]:
    """Return the distances to the ends of an interval, below and above."""
    low, high = found.ends
    return [[max(0.0, found.value - low)], [max(0.0, high - found.value)]]
