"""What a comparison is held to: a value, and the bounds that its config claims."""

from __future__ import annotations

import math

from l2o.benchmarks.cells.record import Frozen, finite
from l2o.benchmarks.report.tables import show
from l2o.benchmarks.statistics import Difference, Estimate
from l2o.configs.schema import Bound, Claim

DEFAULT = "default base LR"
MISJUDGED = "mean over base LRs"
SETTINGS = {"default": DEFAULT, "mean": MISJUDGED}
"""Where base learning rates are compared: in configs -> in words."""
SELECTED = {
    "source_validation": "tuned by source validation",
    "target_accuracy": "tuned by target accuracy (oracle)",
}
"""Rule that tunes a grid -> in words."""
ONE_LR, BEST = "best one-LR schedule", "best schedule"
GROUPS = (ONE_LR, BEST, *SELECTED)
"""Rivals of a claim that are no label: the one of a group that is hardest to beat, or the tuned."""


class Figure(Frozen):
    """A value that a comparison stands or falls by.

    Attributes:
        claim: the sentence of the config.
        figure: what is measured, in words.
        unit: of the value: "points", "per cent", "fine-tunes".
        value: the measurement; null where there is too little to tell.
        low: lower end of its interval.
        high: upper end.
        must: bound that must hold, in words; "" where the config claims none.
        goal: bound that is aimed at.
        holds: whether the value is within `must` (or `goal`, where that is all there is); null
            where there is too little to tell, or nothing is claimed.
        reaches_goal: whether it is within `goal`.
        against: label of what it is compared with.
        population: over what.
        tasks: that it rests on.
        runs: that it rests on.
        mean: plain mean of the paired differences.
        improvement: probability that a run is better than one of the other.
        tasks_better: tasks on which it is better in the mean.
        at_chance: runs that ended so.
        diverged: runs that did.
    """

    claim: str
    figure: str
    unit: str
    value: float | None
    low: float | None
    high: float | None
    must: str = ""
    goal: str = ""
    holds: bool | None = None
    reaches_goal: bool | None = None
    against: str = ""
    population: str = ""
    tasks: int = 0
    runs: int = 0
    mean: float | None = None
    improvement: float | None = None
    tasks_better: int | None = None
    at_chance: int | None = None
    diverged: int | None = None

    @property
    def estimate(self) -> Estimate:
        """The value with its interval."""
        value, low, high = (
            math.nan if each is None else each for each in (self.value, self.low, self.high)
        )
        return Estimate(value, low, high, self.tasks, self.runs)


def judge(
    claim: Claim,
    figure: str,
    found: Estimate,
    unit: str = "points",
    scale: float = 100.0,
    *,
    against: str = "",
    population: str = "",
    at_chance: int | None = None,
    diverged: int | None = None,
) -> Figure:
    """Hold a value against what is claimed.

    Args:
        claim: with the bounds, in the unit.
        figure: what is measured, in words.
        found: the value.
        unit: of the figure.
        scale: from the value to the unit.
        against: label of what it is compared with.
        population: over what.
        at_chance: of a share of failures, how many ended so.
        diverged: of a share of failures, how many did.
    """
    scaled = found.scaled(scale)
    must, goal = (_reaches(bound, scaled) for bound in (claim.must, claim.goal))
    pair = found if isinstance(found, Difference) and found.is_known else None
    return Figure(
        claim=claim.claim,
        figure=figure,
        unit=unit,
        value=finite(scaled.value, 3),
        low=finite(scaled.low, 3),
        high=finite(scaled.high, 3),
        must=_words(claim.must),
        goal=_words(claim.goal),
        holds=goal if claim.must is None else must,
        reaches_goal=goal,
        against=against,
        population=population,
        tasks=found.tasks,
        runs=found.runs,
        mean=finite(scale * pair.mean, 3) if pair else None,
        improvement=finite(pair.improvement) if pair else None,
        tasks_better=pair.tasks_better if pair else None,
        at_chance=at_chance,
        diverged=diverged,
    )


def _reaches(bound: Bound | None, found: Estimate) -> bool | None:
    """Tell whether a value is within a bound; None where there is too little to tell."""
    if bound is None or not found.is_known:
        return None
    within = (bound.at_least is None or found.value >= bound.at_least) and (
        bound.at_most is None or found.value <= bound.at_most
    )
    if not (within and bound.clear):
        return within
    return found.low > 0 if found.has_interval else None


def _words(bound: Bound | None) -> str:
    if bound is None:
        return ""
    sign, value = ("<=", bound.at_most) if bound.at_least is None else (">=", bound.at_least)
    return f"{sign} {value:g}" + ", interval above 0" * bound.clear


def show_figure(figure: Figure) -> str:
    """Return a figure's value with its interval and unit, as "+2.2 [+1.0, +3.5]"."""
    form = {"points": "+.1f", "per cent": ".1f"}.get(figure.unit, "g")
    text = show(figure.estimate, form)
    if figure.unit != "per cent" or figure.value is None:
        return text
    value, bracket, ends = text.partition(" [")
    return f"{value} %{bracket}{ends}"
