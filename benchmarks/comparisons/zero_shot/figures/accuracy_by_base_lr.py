"""The main score against how wrong the base learning rate was, a panel per family."""

from __future__ import annotations

from matplotlib.figure import Figure

from l2o.benchmarks.comparisons.zero_shot.figures.looks import looks
from l2o.benchmarks.comparisons.zero_shot.result_models import (
    ContenderResult,
    ZeroShotFolder,
    ZeroShotResults,
)
from l2o.benchmarks.report.figures.by_base_lr import Curve, Panel, draw_by_base_lr


def draw_accuracy_by_base_lr(folder: ZeroShotFolder) -> Figure | None:
    """Draw each family's contenders by base-LR factor; None with a single factor."""
    results = folder.results
    factors = sorted(results.counts.base_lr_factors)
    if len(factors) < 2:
        return None
    panels = [_panel(results, name) for name in results.families]
    return draw_by_base_lr(panels, factors, results.main)


def _panel(results: ZeroShotResults, name: str) -> Panel:
    family = results.families[name]
    return Panel(
        f"{name} (unseen)" if family.unseen else name,
        [_curve(results, row, name) for row in results.rows],
        family.chance[0] if len(family.chance) == 1 else None,
    )


def _curve(results: ZeroShotResults, row: ContenderResult, family: str) -> Curve:
    found = row.families[family]
    look = looks(results).get(row.label)
    return Curve(
        "other untuned rivals" if look is None else row.label,
        [(each.factor, each.score) for each in found.by_factor],
        look,
        band=row.kind == "policy",
        level=None if found.by_factor else found.default,
    )
