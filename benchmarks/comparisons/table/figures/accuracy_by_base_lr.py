"""The key picture: the main score against how wrong the base learning rate was."""

from __future__ import annotations

from matplotlib.figure import Figure

from l2o.benchmarks.cells.quantities import TARGET
from l2o.benchmarks.comparisons.table.figures.focus import focus
from l2o.benchmarks.comparisons.table.result_models import RowResult, TableFolder
from l2o.benchmarks.report.figures.by_base_lr import Curve, Panel, draw_by_base_lr
from l2o.benchmarks.report.figures.style import Look


def draw_accuracy_by_base_lr(folder: TableFolder) -> Figure | None:
    """Draw each row's interquartile mean per base-LR factor; None with a single factor."""
    results = folder.results
    factors = sorted({each.factors[0] for row in results.rows for each in row.by_factor})
    if len(factors) < 2:
        return None
    looks = focus(results)
    rows = {row.label: row for row in results.rows}
    others = [row for row in results.rows if row.label not in looks]
    curves = [_curve(label, rows[label], look) for label, look in looks.items()]
    curves += [_curve(f"other schedules ({len(others)})", row, None) for row in others]
    return draw_by_base_lr([Panel("", curves, results.main.chance)], factors, results.main)


def _curve(label: str, row: RowResult, look: Look | None) -> Curve:
    found = [(each.factors[0], each.scores[TARGET]) for each in row.by_factor]
    return Curve(label, found, look, bars=True)
