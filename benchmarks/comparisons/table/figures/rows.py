"""Rows of a table side by side: by base LR, untuned and tuned, gained and forgotten."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from l2o.benchmarks.cells.quantities import KEPT, TARGET
from l2o.benchmarks.comparisons.claims import SELECTED
from l2o.benchmarks.comparisons.table.differences import WHOLE_GRID
from l2o.benchmarks.comparisons.table.result_models import (
    RowResult,
    TableFolder,
    TableResults,
    TunedResult,
)
from l2o.benchmarks.comparisons.table.tables import rank
from l2o.benchmarks.report.figures import style
from l2o.benchmarks.report.figures.by_base_lr import Curve, Panel, draw_by_base_lr
from l2o.benchmarks.report.figures.intervals import Dot, Line, draw_lines
from l2o.benchmarks.statistics import Estimate

MAX_GRID_ROWS = 10


def focus(results: TableResults, limit: int = 6) -> dict[str, style.Look]:
    """Choose the rows that a figure names, and their looks: label -> look.

    Learned policies come first, then rows written out in the config, then the best grid row of each
    layer profile. All others are drawn in grey.
    """
    best: dict[str, RowResult] = {}
    grid = [row for row in results.rows if row.kind == "grid"]
    for row in sorted(grid, key=lambda row: rank(row, results.main), reverse=True):
        best.setdefault(row.profile, row)
    learned = [row for row in results.rows if row.kind == "policy"]
    written = [row for row in results.rows if row.kind == "row"]
    # The look of style.MAX_FOCUS that is a learned policy's own is no other row's.
    room = style.MAX_FOCUS if learned else len(style.LOOKS)
    chosen = (learned + written + list(best.values()))[: min(limit, room)]
    others = iter(style.LOOKS)
    return {
        row.label: style.POLICY if row in learned[:1] else style.Look(*next(others))
        for row in chosen
    }


def draw_score_by_base_lr(folder: TableFolder) -> Figure | None:
    """Draw each row's interquartile mean per base-LR factor; None with a single factor."""
    results = folder.results
    factors = sorted({each.factors[0] for row in results.rows for each in row.by_factor})
    if len(factors) < 2:
        return None

    def curve(label: str, row: RowResult, look: style.Look | None) -> Curve:
        found = [(each.factors[0], each.scores[TARGET]) for each in row.by_factor]
        return Curve(label, found, look, bars=True)

    looks = focus(results)
    rows = {row.label: row for row in results.rows}
    others = [row for row in results.rows if row.label not in looks]
    curves = [curve(label, rows[label], look) for label, look in looks.items()]
    curves += [curve(f"other schedules ({len(others)})", row, None) for row in others]
    return draw_by_base_lr([Panel("", curves, results.main.chance)], factors, results.main)


def draw_untuned_and_tuned(folder: TableFolder) -> Figure | None:
    """Draw one line per row, best last; only the best grid rows when there are many."""
    results = folder.results
    several = len(results.counts.base_lr_factors) > 1
    lines = [_line(row, several) for row in _ranked(results, several)]
    tuned = _best_tuned(results.tuned)
    lines += [Line(_tuned_name(entry), (Dot(entry.score, style.GREEN, "D"),)) for entry in tuned]
    legend = {}
    if several:
        legend["default base LR"] = Dot(Estimate(), style.ORANGE, filled=False)
        legend["mean over misjudged base LRs"] = Dot(Estimate(), style.BLUE, "s")
        legend["the same, learned policy"] = Dot(Estimate(), style.INK, "s")
    if tuned:
        legend["tuned per task"] = Dot(Estimate(), style.GREEN, "D")
    figure = draw_lines(
        lines,
        f"{results.main.words}: interquartile mean and 95 % interval",
        width=7.2,
        height=1.7 + 0.3 * len(lines),
        upwards=True,
        zero=False,
        further=legend,
    )
    style.in_percent(figure.axes[0].xaxis, results.main.unit)
    return figure


def draw_kept(folder: TableFolder) -> Figure | None:
    """Draw what is gained on the target against what is kept of the proxy, at the default base LR.

    A point with both intervals per row.
    """
    results = folder.results
    kept, main = results.quantity(KEPT), results.main
    looks = focus(results, limit=8)
    scores = {row.label: row.default.scores for row in results.rows}
    points = {
        label: (each[KEPT], each[TARGET])
        for label, each in scores.items()
        if each[KEPT].is_known and each[TARGET].is_known
    }
    if len(points) < 2:
        return None
    figure = style.new_figure(7.2, 4.8)
    axes = figure.subplots()
    others = [pair for label, pair in points.items() if label not in looks]
    if others:
        values = ([found.value for found in each] for each in zip(*others, strict=True))
        label = f"other schedules ({len(others)})"
        axes.plot(
            *values, color=style.GREY, marker="o", markersize=4, linestyle="none", label=label
        )
    for label in [each for each in looks if each in points]:
        x, y = points[label]
        given = looks[label].as_dict() | {"linestyle": "none", "markersize": 8}
        given |= {"xerr": _bars(x), "yerr": _bars(y), "capsize": 2.5, "elinewidth": 1}
        axes.errorbar([x.value], [y.value], label=label, **given)
    axes.set_xlabel(f"{kept.words} kept (what the network knew before)")
    axes.set_ylabel(f"{main.words} (real images)")
    style.in_percent(axes.xaxis, kept.unit)
    style.in_percent(axes.yaxis, main.unit)
    style.tidy(axes)
    style.legend_below(figure, axes)
    return figure


def _line(row: RowResult, several: bool) -> Line:
    colour = style.INK if row.kind == "policy" else style.BLUE
    untuned = row.default.scores[TARGET]
    if not several:
        return Line(row.label, (Dot(untuned, colour, "s"),))
    over = Dot(row.misjudged.scores[TARGET], colour, "s", shift=0.12)
    return Line(row.label, (Dot(untuned, style.ORANGE, filled=False, shift=-0.12), over))


def _ranked(results: TableResults, several: bool) -> list[RowResult]:
    def worth(row: RowResult) -> float:
        return results.main.worth((row.misjudged if several else row.default).scores[TARGET])

    grid = sorted((row for row in results.rows if row.kind == "grid"), key=worth)[-MAX_GRID_ROWS:]
    return sorted([*grid, *(row for row in results.rows if row.kind != "grid")], key=worth)


def _best_tuned(tuned: Sequence[TunedResult]) -> list[TunedResult]:
    whole = [entry for entry in tuned if entry.schedule == WHOLE_GRID] or tuned[:2]
    return [entry for entry in whole if entry.score.is_known]


def _tuned_name(entry: TunedResult) -> str:
    name = "best schedule" if entry.schedule == WHOLE_GRID else entry.schedule
    return f"{name}, {SELECTED[entry.selection]}"


def _bars(found: Estimate) -> list[list[float]]:
    """Return the distances to the ends of an interval, below and above."""
    low, high = found.ends
    return [[max(0.0, found.value - low)], [max(0.0, high - found.value)]]
