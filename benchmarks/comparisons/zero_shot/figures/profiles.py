"""Performance profiles: the share of runs that reach a target accuracy."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from l2o.benchmarks.cells.quantities import Quantity
from l2o.benchmarks.comparisons.claims import DEFAULT, MISJUDGED
from l2o.benchmarks.comparisons.zero_shot.figures.looks import looks
from l2o.benchmarks.comparisons.zero_shot.result_models import ContenderResult, ZeroShotFolder
from l2o.benchmarks.report.figures.style import in_percent, legend_below, new_figure, tidy
from l2o.benchmarks.statistics import Array

POINTS = 201


def draw_profiles(folder: ZeroShotFolder) -> Figure | None:
    """Draw the named contenders' profiles, at the default base LR and over base LRs.

    Source: Agarwal et al., "Deep Reinforcement Learning at the Edge of the Statistical Precipice",
    NeurIPS 2021.
    """
    figure = new_figure(8.6, 4.4)
    panels = figure.subplots(1, 2, sharey=True)
    rows = {row.label: row for row in folder.results.rows}
    levels = np.linspace(0.0, 1.0, POINTS)
    for axes, setting in zip(panels, (DEFAULT, MISJUDGED), strict=True):
        for label, look in looks(folder.results).items():
            scores = all_scores(rows[label], setting)
            if len(scores):
                style = look.as_dict() | {"marker": None}
                shares = profile(scores, levels)
                axes.plot(levels, shares, label=label, zorder=look.zorder, **style)
        _finish(axes, setting, folder.results.main)
    panels[0].set_ylabel("share of runs that reach it")
    legend_below(figure, panels[0])
    return figure


def all_scores(row: ContenderResult, setting: str) -> Array:
    """Return a contender's scores on all families, those that are missing left out."""
    found = [
        each.scores_default if setting == DEFAULT else each.scores_mean or ()
        for each in row.families.values()
    ]
    flat = [score for runs in found for tasks in runs for score in tasks]
    return np.array([score for score in flat if score is not None], dtype=np.float64)


def profile(scores: Array, levels: Array) -> Array:
    """Return the share of scores that are at least as high as each level.

    Example:
        >>> profile(np.array([0.2, 0.6]), np.array([0.0, 0.2, 0.5, 0.7])).tolist()
        [1.0, 1.0, 0.5, 0.0]
    """
    # The survival function is the share above; a score that is just reached counts, too.
    below = np.nextafter(levels, -np.inf)
    return np.asarray(stats.ecdf(scores).sf.evaluate(below))


def _finish(axes: Axes, title: str, quantity: Quantity) -> None:
    axes.set_title(title, fontsize=10)
    axes.set_xlabel(quantity.words)
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.2, 0.4, 0.6, 0.8])
    axes.set_ylim(0, 1.02)
    in_percent(axes.xaxis)
    in_percent(axes.yaxis)
    tidy(axes)
