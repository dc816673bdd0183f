"""The figures of a zero-shot report, each drawn from the results alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawn
from scipy import stats

from l2o.benchmarks.cells.quantities import Quantity
from l2o.benchmarks.comparisons.claims import DEFAULT, MISJUDGED, Figure
from l2o.benchmarks.comparisons.zero_shot.result_models import (
    ContenderResult,
    ZeroShotFolder,
    ZeroShotResults,
)
from l2o.benchmarks.comparisons.zero_shot.tables import ordered
from l2o.benchmarks.report.figures import style
from l2o.benchmarks.report.figures.by_base_lr import Curve, Panel, draw_by_base_lr
from l2o.benchmarks.report.figures.intervals import Dot, Line, draw_lines
from l2o.benchmarks.statistics import Array, Estimate

NAMED = 3
"""How many untuned rivals a figure names."""
POINTS = 201
_MUST = Dot(Estimate(), style.ORANGE, "|", filled=False, size=14)
_GOAL = Dot(Estimate(), style.BLUE, "<", filled=False)


def looks(results: ZeroShotResults) -> dict[str, style.Look]:
    """Return how the named rows are drawn: label -> look.

    The policies, the grid tuned per task, and the untuned rivals with the best mean over base LRs.
    """
    rows = [row for row in ordered(results) if row.kind != "other_tasks"]
    untuned = [row for row in rows if row.kind in ("schedule", "rival")]
    named = [row for row in rows if row not in untuned] + untuned[:NAMED]
    others = iter(style.LOOKS)
    return {
        row.label: style.POLICY if row.kind == "policy" else style.Look(*next(others))
        for row in named
    }


def draw_claims(folder: ZeroShotFolder) -> Drawn | None:
    """Draw one line per difference, the first claim on top; None without any."""
    main = folder.results.main
    unit = main.differs_in[0]
    figures = [each for each in folder.results.figures if each.unit == unit]
    figures = [each for each in figures if each.value is not None]
    if not figures:
        return None
    return draw_lines(
        [_line(figure) for figure in figures],
        f"difference in {main.words}, {main.points}",
        width=8.6,
        height=1.4 + 0.34 * len(figures),
        legend=4,
        further={
            "must": _MUST,
            "goal": _GOAL,
            "measured: holds": Dot(Estimate()),
            "measured: does not hold": Dot(Estimate(), filled=False),
        },
    )


def _line(figure: Figure) -> Line:
    bounds = [
        # The number of a bound such as `>= 2, interval above 0`.
        Dot(
            Estimate(float(re.findall(r"-?[\d.]+", words)[0])),
            look.colour,
            look.marker,
            filled=False,
            size=look.size,
        )
        for words, look in ((figure.must, _MUST), (figure.goal, _GOAL))
        if words
    ]
    return Line(
        figure.figure, (*bounds, Dot(figure.estimate, style.INK, filled=bool(figure.holds)))
    )


def draw_score_by_base_lr(folder: ZeroShotFolder) -> Drawn | None:
    """Draw each family's contenders by base-LR factor; None with a single factor."""
    results, named = folder.results, looks(folder.results)
    factors = sorted(results.counts.base_lr_factors)
    if len(factors) < 2:
        return None

    def curve(row: ContenderResult, family: str) -> Curve:
        found, look = row.families[family], named.get(row.label)
        return Curve(
            "other untuned rivals" if look is None else row.label,
            [(each.factor, each.score) for each in found.by_factor],
            look,
            band=row.kind == "policy",
            level=None if found.by_factor else found.default,
        )

    panels = [
        Panel(
            name + " (unseen)" * family.unseen,
            [curve(row, name) for row in results.rows],
            family.chance[0] if len(family.chance) == 1 else None,
        )
        for name, family in results.families.items()
    ]
    return draw_by_base_lr(panels, factors, results.main)


def draw_profiles(folder: ZeroShotFolder) -> Drawn | None:
    """Draw the named contenders' profiles, at the default base LR and over base LRs.

    Source: Agarwal et al., "Deep Reinforcement Learning at the Edge of the Statistical Precipice",
    NeurIPS 2021.
    """
    results, named = folder.results, looks(folder.results)
    figure = style.new_figure(8.6, 4.4)
    panels = figure.subplots(1, 2, sharey=True)
    rows = [row for row in results.rows if row.label in named]
    for axes, setting in zip(panels, (DEFAULT, MISJUDGED), strict=True):
        scores = {row.label: all_scores(row, setting) for row in rows}
        levels = _levels(list(scores.values()), results.main)
        for label, look in named.items():
            if len(scores[label]):
                given = look.as_dict() | {"marker": None}
                shares = profile(scores[label], levels, results.main.sign)
                axes.plot(levels, shares, label=label, zorder=look.zorder, **given)
        _finish(axes, setting, results.main)
    panels[0].set_ylabel("share of runs that reach it")
    style.legend_below(figure, panels[0])
    return figure


def all_scores(row: ContenderResult, setting: str) -> Array:
    """Return a contender's scores on all families, those that are missing left out."""
    found = [
        each.scores_default if setting == DEFAULT else each.scores_mean or ()
        for each in row.families.values()
    ]
    flat = [score for runs in found for tasks in runs for score in tasks]
    return np.array([score for score in flat if score is not None], dtype=np.float64)


def profile(scores: Array, levels: Array, sign: float = 1.0) -> Array:
    """Return the share of scores that are at least as good as each level.

    Args:
        scores: `[N]`.
        levels: `[L]`.
        sign: 1 where more is better, -1 where less is.

    Example:
        >>> profile(np.array([0.2, 0.6]), np.array([0.0, 0.2, 0.5, 0.7])).tolist()
        [1.0, 1.0, 0.5, 0.0]
    """
    # The survival function is the share above; a score that is just reached counts, too.
    below = np.nextafter(sign * levels, -np.inf)
    return np.asarray(stats.ecdf(sign * scores).sf.evaluate(below))


def _levels(scores: Sequence[Array], main: Quantity) -> Array:
    """Return the levels of a panel: all shares there can be, else what was scored."""
    if main.unit == "%":
        return np.linspace(0.0, 1.0, POINTS)
    found = np.concatenate([*scores, [0.0]])
    return np.linspace(found.min(), found.max(), POINTS)


def _finish(axes: Axes, title: str, main: Quantity) -> None:
    axes.set_title(title, fontsize=10)
    axes.set_xlabel(main.words)
    if main.unit == "%":
        axes.set_xlim(0, 1)
        axes.set_xticks([0, 0.2, 0.4, 0.6, 0.8])
    axes.set_ylim(0, 1.02)
    style.in_percent(axes.xaxis, main.unit)
    style.in_percent(axes.yaxis)
    style.tidy(axes)


FIGURES: dict[str, Callable[[ZeroShotFolder], Drawn | None]] = {
    "claims": draw_claims,
    "accuracy_by_base_lr": draw_score_by_base_lr,
    "performance_profiles": draw_profiles,
}
"""File stem -> what draws it; title and caption are in `report/templates/zero_shot.md`."""
