"""Performance profiles: the share of runs that reach a target accuracy."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from l2o.benchmarks.comparisons.table.comparison import DEFAULT, MISJUDGED
from l2o.benchmarks.comparisons.zero_shot.figures.base import looks
from l2o.benchmarks.report.figures.style import in_percent, legend_below, new_figure, tidy
from l2o.benchmarks.statistics import Array

POINTS = 201


def draw_profiles(data: dict[str, Any]) -> Figure | None:
    """Draw the named contenders' profiles, at the default base LR and over base LRs.

    Source: Agarwal et al., "Deep Reinforcement Learning at the Edge of the Statistical Precipice",
    NeurIPS 2021.
    """
    figure = new_figure(8.6, 4.4)
    panels = figure.subplots(1, 2, sharey=True)
    rows = {row["label"]: row for row in data["rows"]}
    accuracies = np.linspace(0.0, 1.0, POINTS)
    for axes, key, title in zip(panels, ("default", "mean"), (DEFAULT, MISJUDGED)):
        for label, look in looks(data).items():
            scores = all_scores(rows[label], key)
            if len(scores):
                style = look.as_dict() | {"marker": None}
                shares = profile(scores, accuracies)
                axes.plot(accuracies, shares, label=label, zorder=look.zorder, **style)
        _finish(axes, title)
    panels[0].set_ylabel("share of runs that reach it")
    legend_below(figure, panels[0])
    return figure


def all_scores(row: dict[str, Any], key: str) -> Array:
    """Return a contender's scores on all families, those that are missing left out."""
    found = [family["scores"][key] or [] for family in row["families"].values()]
    flat = [score for tasks in found for runs in tasks for score in runs]
    return np.array([score for score in flat if score is not None], dtype=np.float64)


def profile(scores: Array, accuracies: Array) -> Array:
    """Return the share of scores that are at least as high as each accuracy.

    Example:
        >>> profile(np.array([0.2, 0.6]), np.array([0.0, 0.2, 0.5, 0.7])).tolist()
        [1.0, 1.0, 0.5, 0.0]
    """
    # The survival function is the share above; a score that is just reached counts, too.
    below = np.nextafter(accuracies, -np.inf)
    return np.asarray(stats.ecdf(scores).sf.evaluate(below))


def _finish(axes: Axes, title: str) -> None:
    axes.set_title(title, fontsize=10)
    axes.set_xlabel("target accuracy")
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.2, 0.4, 0.6, 0.8])
    axes.set_ylim(0, 1.02)
    in_percent(axes.xaxis)
    in_percent(axes.yaxis)
    tidy(axes)
