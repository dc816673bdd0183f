"""Paired comparisons of a table: learned policies against schedules, tuned and not, and claims."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from l2o.benchmarks.cells.quantities import QUANTITIES, Quantity
from l2o.benchmarks.comparisons.claims import (
    BEST,
    DEFAULT,
    MISJUDGED,
    ONE_LR,
    SELECTED,
    SETTINGS,
    Figure,
    judge,
)
from l2o.benchmarks.comparisons.table.matrices import RowScores, common_factors
from l2o.benchmarks.comparisons.table.result_models import (
    Against,
    OrderResult,
    PolicyResult,
    TunedResult,
    Verdict,
)
from l2o.benchmarks.comparisons.table.tuning import PER_TASK, grid_scores, name_chosen, select
from l2o.benchmarks.statistics import Matrix, estimate, paired_difference
from l2o.configs.schema import Claim, Options

WHOLE_GRID = "best of the whole grid"
"""Name of the entry that is tuned over all schedules together."""
_HEADLINES = ((ONE_LR, "mean"), (BEST, "mean"), (BEST, "default"), *((s, "") for s in SELECTED))
_NAMES = {"mean": "misjudged base LRs", "default": DEFAULT}


@dataclass(frozen=True)
class Tuned:
    """A schedule tuned per task, with what the picked runs gain, `[runs, tasks]`."""

    result: TunedResult
    gain: Matrix


def tune(scores: Sequence[RowScores], resamples: int) -> list[Tuned]:
    """Tune each schedule of the grid, and the whole grid, by each selection rule."""
    grid = [row for row in scores if row.row.kind == "grid"]
    groups: dict[str, list[RowScores]] = {}
    for row in grid:
        groups.setdefault(row.row.schedule, []).append(row)
    if len(groups) > 1:
        groups[WHOLE_GRID] = grid
    return [
        _tuned(name, rule, rows, resamples) for name, rows in groups.items() for rule in PER_TASK
    ]


def _tuned(schedule: str, rule: str, rows: Sequence[RowScores], resamples: int) -> Tuned:
    grid = grid_scores(rows)
    picks, scores = select(rule, grid)
    result = TunedResult(
        schedule=schedule,
        selection=rule,
        points=grid.points,
        fine_tunes_per_task=grid.fine_tunes,
        score=estimate(scores, resamples=resamples),
        chosen=name_chosen(rows, picks, scores),
    )
    return Tuned(result, grid.sign * scores)


def compare_policies(
    scores: Sequence[RowScores], tuned: Sequence[Tuned], resamples: int
) -> list[PolicyResult]:
    """Compare each learned policy with every other row and every tuned schedule, in pairs.

    The policy is never tuned. Against tuned schedules it runs at the task's default base LR.
    """
    others = [row for row in scores if row.row.kind != "policy"]
    return [
        PolicyResult(
            label=policy.row.label,
            fingerprint=policy.row.cells[0].fingerprint,
            against=(
                *_against_rows(policy, others, resamples),
                *_against_tuned(policy, tuned, resamples),
            ),
        )
        for policy in scores
        if policy.row.kind == "policy"
    ]


def check_orders(
    claims: Iterable[Claim], scores: Sequence[RowScores], resamples: int
) -> list[OrderResult]:
    """Hold the table against each claim about two of its rows.

    A claim holds when the whole interval of the paired difference is above zero.
    """
    rows = {row.row.label: row for row in scores}
    checked = []
    for claim in claims:
        if claim.rival in rows and claim.row is not None:
            pair = rows[claim.row], rows[claim.rival]
            for base_lrs in claim.base_lrs:
                factors = common_factors(*pair)
                if base_lrs == "default":
                    factors = tuple(sorted(factors, key=lambda factor: abs(np.log(factor)))[:1])
                first, second = (row.gain(factors, claim.metric) for row in pair)
                checked.append(
                    OrderResult(
                        claim=_sentence(claim, base_lrs),
                        metric=claim.metric,
                        row=claim.row,
                        rival=claim.rival,
                        **_verdict(first, second, resamples),
                    )
                )
    return checked


def _sentence(claim: Claim, base_lrs: str) -> str:
    """Return what is claimed, and where, if that is not in the mean over base LRs."""
    return claim.claim if base_lrs == "mean" else f"{claim.claim}, {DEFAULT}"


def headline_figures(
    claims: Sequence[Claim],
    orders: Sequence[OrderResult],
    policies: Sequence[PolicyResult],
    main: Quantity,
) -> list[Figure]:
    """Return what a table stands or falls by: claimed orders, each policy against the schedules.

    The latter is a difference against the one of a group that comes out hardest to beat, named in
    hindsight. It is graded where the config claims something of it.
    """
    named = {_sentence(claim, base_lrs): claim for claim in claims for base_lrs in claim.base_lrs}
    figures = []
    for order in orders:
        unit, scale = QUANTITIES[order.metric].like(main).differs_in
        claim, found = named[order.claim], order.difference
        figures.append(judge(claim, order.claim, found, unit, scale, against=order.rival))
    for policy in policies:
        for group, base_lrs in _HEADLINES:
            entries = _group(policy, group, base_lrs)
            if entries:
                claim = _claim(claims, policy.label, group, base_lrs)
                hardest = min(entries, key=_value)
                name = f"{policy.label} − {BEST} {SELECTED.get(group, '')}"
                if base_lrs:
                    name = f"{policy.label} − {group}, {_NAMES[base_lrs]}"
                found = hardest.difference
                figures.append(judge(claim, name, found, *main.differs_in, against=hardest.label))
    return figures


def _group(policy: PolicyResult, group: str, base_lrs: str) -> list[Against]:
    setting = SETTINGS[base_lrs] if base_lrs else SELECTED[group]
    entries = [entry for entry in policy.against if entry.setting == setting]
    if group in SELECTED:
        return [entry for entry in entries if entry.label == WHOLE_GRID] or entries
    return [entry for entry in entries if group == BEST or entry.profile == "flat"]


def _claim(claims: Sequence[Claim], label: str, group: str, base_lrs: str) -> Claim:
    """Return what is claimed of a policy against a group; nothing, if nothing is."""
    for claim in claims:
        at = not base_lrs or base_lrs in claim.base_lrs
        if claim.rival == group and claim.row in (None, label) and at:
            return claim
    return Claim(rival=group, must=None)


def _value(entry: Against) -> float:
    return entry.difference.value if entry.difference.is_known else float("inf")


def _verdict(first: Matrix, second: Matrix, resamples: int) -> Options:
    """Compare gains, and put the difference into words: only an interval above zero holds."""
    found = paired_difference(first, second, resamples=resamples)
    if found.low > 0:
        verdict = "holds"
    elif found.high < 0:
        verdict = "the opposite holds"
    else:
        verdict = "not resolved" + ", leaning that way" * (found.value > 0)
    return vars(Verdict(difference=found, holds=found.low > 0, verdict=verdict))


def _against_rows(
    policy: RowScores, others: Sequence[RowScores], resamples: int
) -> Iterator[Against]:
    for other in others:
        factors = common_factors(policy, other)
        settings: dict[str, tuple[float, ...]] = {}
        if policy.default_factor in factors:
            settings[DEFAULT] = (policy.default_factor,)
        if len(factors) > 1:
            settings[MISJUDGED] = factors
        for setting, chosen in settings.items():
            yield Against(
                label=other.row.label,
                setting=setting,
                kind=other.row.kind,
                profile=other.row.profile,
                **_verdict(policy.gain(chosen), other.gain(chosen), resamples),
            )


def _against_tuned(policy: RowScores, tuned: Sequence[Tuned], resamples: int) -> Iterator[Against]:
    own = policy.gain((policy.default_factor,))
    for entry in tuned:
        if entry.gain.shape == own.shape:
            yield Against(
                label=entry.result.schedule,
                setting=SELECTED[entry.result.selection],
                **_verdict(own, entry.gain, resamples),
            )
