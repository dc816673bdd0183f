"""Interquartile means with intervals: untuned, over misjudged base LRs, and tuned."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from l2o.benchmarks.cells.quantities import TARGET
from l2o.benchmarks.comparisons.claims import SELECTED
from l2o.benchmarks.comparisons.table.differences import WHOLE_GRID
from l2o.benchmarks.comparisons.table.result_models import (
    RowResult,
    TableFolder,
    TunedResult,
    value_of,
)
from l2o.benchmarks.report.figures.intervals import Dot, Line, draw_lines
from l2o.benchmarks.report.figures.style import INK, in_percent
from l2o.benchmarks.statistics import Estimate

MAX_GRID_ROWS = 10
_BLUE, _ORANGE, _GREEN = "#0072B2", "#D55E00", "#009E73"


def draw_untuned_and_tuned(folder: TableFolder) -> Figure | None:
    """Draw one line per row, best last; only the best grid rows when there are many."""
    results = folder.results
    several = len(results.counts.base_lr_factors) > 1
    lines = [_line(row, several) for row in _chosen(results.rows, several)]
    tuned = _best_tuned(results.tuned)
    lines += [Line(_tuned_name(entry), (Dot(entry.score, _GREEN, "D"),)) for entry in tuned]
    legend = {}
    if several:
        legend["default base LR"] = Dot(Estimate(), _ORANGE, filled=False)
        legend["mean over misjudged base LRs"] = Dot(Estimate(), _BLUE, "s")
        legend["the same, learned policy"] = Dot(Estimate(), INK, "s")
    if tuned:
        legend["tuned per task"] = Dot(Estimate(), _GREEN, "D")
    figure = draw_lines(
        lines,
        f"{results.main.words}: interquartile mean and 95 % interval",
        width=7.2,
        height=1.7 + 0.3 * len(lines),
        upwards=True,
        zero=False,
        further=legend,
    )
    if results.main.unit == "%":
        in_percent(figure.axes[0].xaxis)
    return figure


def _line(row: RowResult, several: bool) -> Line:
    colour = INK if row.kind == "policy" else _BLUE
    untuned = row.default.scores[TARGET]
    if not several:
        return Line(row.label, (Dot(untuned, colour, "s"),))
    over = Dot(row.misjudged.scores[TARGET], colour, "s", shift=0.12)
    return Line(row.label, (Dot(untuned, _ORANGE, filled=False, shift=-0.12), over))


def _chosen(rows: Sequence[RowResult], several: bool) -> list[RowResult]:
    def value(row: RowResult) -> float:
        return value_of((row.misjudged if several else row.default).scores[TARGET])

    grid = sorted((row for row in rows if row.kind == "grid"), key=value)[-MAX_GRID_ROWS:]
    return sorted([*grid, *(row for row in rows if row.kind != "grid")], key=value)


def _best_tuned(tuned: Sequence[TunedResult]) -> list[TunedResult]:
    whole = [entry for entry in tuned if entry.schedule == WHOLE_GRID] or tuned[:2]
    return [entry for entry in whole if entry.score.is_known]


def _tuned_name(entry: TunedResult) -> str:
    name = "best schedule" if entry.schedule == WHOLE_GRID else entry.schedule
    return f"{name}, {SELECTED[entry.selection]}"
