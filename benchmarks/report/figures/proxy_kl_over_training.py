"""Proxy KL over training: how far each policy lets the network drift from what it knew."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from l2o.benchmarks.comparisons.results_file import Results
from l2o.benchmarks.report.figures.over_training import draw_over_training
from l2o.benchmarks.report.figures.style import log_axis


def draw_proxy_kl_over_training(results: Results) -> Figure | None:
    """Draw the proxy KL against progress, at low, default and high base LRs."""

    def finish(axes: Axes) -> None:
        if axes.get_ylim()[1] > 0:
            log_axis(axes)

    return draw_over_training(results, "proxy_kl", "proxy KL (nats), source images", finish)
