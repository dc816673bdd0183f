"""The claims that are differences, with their intervals and what they must show."""

from __future__ import annotations

import re

from matplotlib.figure import Figure as Drawn

from l2o.benchmarks.comparisons.claims import Figure
from l2o.benchmarks.comparisons.zero_shot.result_models import ZeroShotFolder
from l2o.benchmarks.report.figures.intervals import Dot, Line, draw_lines
from l2o.benchmarks.report.figures.style import INK
from l2o.benchmarks.statistics import Estimate

_MUST = Dot(Estimate(), "#D55E00", "|", filled=False, size=14)
_GOAL = Dot(Estimate(), "#0072B2", "<", filled=False)


def draw_claims(folder: ZeroShotFolder) -> Drawn | None:
    """Draw one line per difference, the first claim on top; None without any."""
    results = folder.results
    figures = [each for each in results.figures if each.unit == "points"]
    figures = [each for each in figures if each.value is not None]
    if not figures:
        return None
    return draw_lines(
        [_line(figure) for figure in figures],
        f"difference in {results.main.words}, percentage points",
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
        Dot(_bound(words), look.colour, look.marker, filled=False, size=look.size)
        for words, look in ((figure.must, _MUST), (figure.goal, _GOAL))
        if words
    ]
    return Line(figure.figure, (*bounds, Dot(figure.estimate, INK, filled=bool(figure.holds))))


def _bound(words: str) -> Estimate:
    """Return the number of a bound such as `>= 2, interval above 0`."""
    return Estimate(float(re.findall(r"-?[\d.]+", words)[0]))
