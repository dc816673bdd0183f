"""The claims of the zero-shot comparison, each with what it must show."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from l2o.benchmarks.cells.cell import finite
from l2o.benchmarks.comparisons.table.comparison import DEFAULT, MISJUDGED
from l2o.benchmarks.comparisons.zero_shot.bootstrap import (
    Comparison,
    Estimate,
    compare,
    estimate,
    mean,
)
from l2o.benchmarks.comparisons.zero_shot.scores import Contender
from l2o.benchmarks.speed.figures import Figure
from l2o.benchmarks.statistics import Array

Entry = dict[str, Any]


@dataclass(frozen=True)
class Bounds:
    """What a claim must show, and what is aimed at.

    Attributes:
        must: bound of the value.
        goal: bound aimed at.
        must_clear: whether the whole interval has to be above zero, too.
        goal_clear: the same, of the goal.
        at_least: whether larger is better.
    """

    must: float
    goal: float
    must_clear: bool = False
    goal_clear: bool = False
    at_least: bool = True


SOURCE = Bounds(2.0, 5.0, must_clear=True, goal_clear=True)
ORACLE = Bounds(-1.0, 0.0, goal_clear=True)
UNTUNED = Bounds(5.0, 10.0)
FAILING = Bounds(2.0, 0.0, at_least=False)
UNSEEN = Bounds(0.0, 0.0, goal_clear=True)
LITE = Bounds(-1.0, 0.0)
COST = Bounds(1.0, 1.0, at_least=False)


def check_claims(
    contenders: list[Contender], unseen: list[str], at_use: int, resamples: int
) -> list[Entry]:
    """Return one entry per claim and population, in the layout of the speed figures and more.

    Differences are in percentage points, interquartile mean minus interquartile mean.

    Args:
        contenders: all rows.
        unseen: families whose architecture, optimizer or data no policy was learned on.
        at_use: fine-tunes that the policy takes on one task.
        resamples: of the bootstrap.
    """
    by_kind = {contender.kind: contender for contender in contenders}
    policy, families = by_kind["policy"], list(by_kind["policy"].families)
    source, oracle = by_kind["source_validation"], by_kind["target_accuracy"]
    check = _Checker(policy, resamples)
    entries = [
        *check.against("grid by source validation", source, families, SOURCE),
        *check.against("grid by target accuracy (oracle)", oracle, families, ORACLE),
    ]
    schedules = [contender for contender in contenders if contender.kind == "schedule"]
    entries += check.against_hardest("untuned schedules", schedules, families)
    entries.append(check.failing("runs at chance or diverged", families))
    for name in unseen:
        entries += check.against(f"unseen: {name}", source, [name], UNSEEN)
    if "lite" in by_kind:
        lite = _Checker(by_kind["lite"], resamples)
        entries += lite.against("lite policy", policy, families, LITE)
    entries.append(
        judge("cost at use", f"{policy.label}: fine-tunes at use", at_use, None, COST)
        | {"unit": "fine-tunes", "population": "one use: one task, one base LR, one seed"}
    )
    return entries


@dataclass(frozen=True)
class _Checker:
    """Makes the entries of one contender."""

    first: Contender
    resamples: int

    def against(
        self, claim: str, other: Contender, families: list[str], bounds: Bounds
    ) -> list[Entry]:
        """Compare at the default base LR, and in the mean over base LRs."""
        return [
            self._entry(claim, other, families, bounds, setting) for setting in (DEFAULT, MISJUDGED)
        ]

    def against_hardest(
        self, claim: str, others: list[Contender], families: list[str]
    ) -> list[Entry]:
        """Compare, over base LRs, with the one that is hardest to beat, named in hindsight."""
        found = [
            self._entry(claim, other, families, UNTUNED, MISJUDGED)
            for other in others
            if other.mean(families) is not None
        ]
        known = [entry for entry in found if entry["value"] is not None]
        if not known:
            return found[:1]
        hardest = min(known, key=lambda entry: float(entry["value"]))
        name = f"{self.first.label} − best of {len(known)} untuned schedules, {MISJUDGED}"
        return [hardest | {"figure": name}]

    def failing(self, claim: str, families: list[str]) -> Entry:
        """Return the share of runs that failed, over all base LRs, in per cent."""
        flags = [100.0 * self.first.families[name].failed for name in families]
        found = estimate(flags, mean, self.resamples)
        own = [self.first.families[name] for name in families]
        name = f"{self.first.label}: runs that end at chance or diverged"
        return judge(claim, name, found.value, found, FAILING) | {
            "unit": "per cent",
            "population": _population(families, found, "every base LR, each fine-tune on its own"),
            "at_chance": sum(scores.at_chance for scores in own),
            "diverged": sum(scores.diverged for scores in own),
        }

    def _entry(
        self, claim: str, other: Contender, families: list[str], bounds: Bounds, setting: str
    ) -> Entry:
        found = compare_in(setting, self.first, other, families, self.resamples)
        scaled = _scaled(found.estimate, 100.0)
        name = f"{self.first.label} − {other.label}, {setting}"
        if len(families) == 1 and len(self.first.families) > 1:
            name += f", {families[0]}"
        return judge(claim, name, scaled.value, scaled, bounds) | {
            "unit": "points",
            "population": _population(families, scaled, setting),
            "against": other.label,
            "mean": finite(100.0 * found.mean, 3),
            "improvement": finite(found.improvement),
            "tasks_better": found.tasks_better,
        }


def compare_in(
    setting: str, first: Contender, other: Contender, families: list[str], resamples: int
) -> Comparison:
    """Compare two contenders at the default base LR, or in the mean over base LRs.

    Where one of the two was not run at all base LRs, nothing is known: NaN.
    """
    take: Callable[[Contender], list[Array] | None] = (
        (lambda contender: contender.default(families))
        if setting == DEFAULT
        else (lambda contender: contender.mean(families))
    )
    one, two = take(first), take(other)
    if one is None or two is None:
        return compare([], [], resamples)
    return compare(one, two, resamples)


def judge(
    claim: str, figure: str, value: float, found: Estimate | None, bounds: Bounds
) -> dict[str, Any]:
    """Return a claim's entry with its verdicts; null where there is too little to tell.

    Args:
        claim: which one it is.
        figure: what is measured, in words.
        value: the measurement, in the unit of the bounds.
        found: its interval and counts; None for a plain number.
        bounds: what it must show.
    """
    counts = {} if found is None else {"tasks": found.tasks, "runs": found.runs}
    ends = (math.nan, math.nan) if found is None else (found.low, found.high)
    entry = {"claim": claim, "low": finite(ends[0], 3), "high": finite(ends[1], 3)} | counts
    plain = Figure(figure, 0.0, bounds.must, bounds.goal, bounds.at_least).to_dict()
    if math.isfinite(value):
        plain = Figure(figure, value, bounds.must, bounds.goal, bounds.at_least).to_dict()
        plain["holds"] = _clears(plain["holds"], bounds.must_clear, ends[0])
        plain["reaches_goal"] = _clears(plain["reaches_goal"], bounds.goal_clear, ends[0])
    else:
        plain |= {"value": None, "holds": None, "reaches_goal": None}
    for key, clear in (("must", bounds.must_clear), ("goal", bounds.goal_clear)):
        plain[key] += ", interval above 0" if clear else ""
    return plain | entry


def _clears(reached: bool, asked: bool, low: float) -> bool | None:
    """Hold a verdict against the interval, if that is asked for; None if there is none."""
    if not (reached and asked):
        return reached
    return None if math.isnan(low) else low > 0


def _scaled(found: Estimate, by: float) -> Estimate:
    return Estimate(by * found.value, by * found.low, by * found.high, found.tasks, found.runs)


def _population(families: list[str], found: Estimate, setting: str) -> str:
    many = f"families {', '.join(families)}" if len(families) > 1 else f"family {families[0]}"
    return f"{many}: {found.tasks} held-out tasks, {found.runs} runs; {setting}"
