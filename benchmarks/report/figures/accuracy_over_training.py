"""Target accuracy over training, per policy."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from l2o.benchmarks.comparisons.results_file import Results
from l2o.benchmarks.report.figures.over_training import draw_over_training
from l2o.benchmarks.report.figures.style import chance_line, in_percent

NEAR_CHANCE = 0.4


def draw_accuracy_over_training(results: Results) -> Figure | None:
    """Draw the target accuracy against progress, at low, default and high base LRs."""

    def finish(axes: Axes) -> None:
        in_percent(axes.yaxis)
        # Near chance the distance to it matters; far above it, the distances between the rows do.
        if axes.get_ylim()[0] < NEAR_CHANCE:
            axes.set_ylim(bottom=0)
            chance_line(axes, results.data["chance"])

    label = "target accuracy (real images)"
    return draw_over_training(results, "target_accuracy", label, finish)
