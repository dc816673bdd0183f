"""What the runs of a set say: harm done, and the price or gain on the target; their tables."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from l2o.benchmarks.report.tables import Table, points, short
from l2o.benchmarks.statistics import TASKS, Estimate, estimate, mean
from l2o.benchmarks.studies.base import Columns
from l2o.benchmarks.studies.harm.cell import PLAIN, Record

SHOWN = 12
"""The worst runs that are listed."""


@dataclass(frozen=True)
class Pair:
    """A run under a policy against the plain run of its setting.

    Attributes:
        ratio: its worst loss over the plain run's; infinity where one was not finite.
        harmed: whether it ends at chance where the plain run does not.
        target: its accuracy; `difference`: that less the plain run's.
        interventions: of the guard.
    """

    id: str
    policy: str
    network: str
    ratio: float
    harmed: bool
    target: float | None
    difference: float | None
    interventions: int


@dataclass(frozen=True)
class Figures:
    """The figures of one policy; `worst_ratio` is infinity where a loss was not finite."""

    runs: int
    at_chance: int
    beyond_bound: int
    worst_ratio: float
    worst_run: str
    interventions: int
    target: float | None
    difference: Estimate


@dataclass(frozen=True)
class Claim:
    """What must hold, and what was found."""

    claim: str
    found: float
    holds: bool


@dataclass(frozen=True)
class Summary:
    """What the runs of a set say.

    Attributes:
        bound: how many times the plain run's worst loss a run may reach.
        plain: mean accuracy of plain runs on the target.
        policies: name -> figures.
        harmed: the runs that break a claim, the worst first.
        failures: `label` and `error` of each run that raised.
    """

    bound: float
    plain: float | None
    policies: Mapping[str, Figures]
    harmed: Sequence[Pair]
    claims: Sequence[Claim]
    failures: Sequence[Mapping[str, str]]


def summarise(records: Sequence[Record], bound: float) -> Summary:
    """Compare every run under a policy with the plain run of its setting."""
    whole = {r.id: r for r in records if r.policy == PLAIN and not r.error}
    others = (r for r in records if r.policy != PLAIN and not r.error and r.plain in whole)
    pairs = [_pair(record, whole[record.plain]) for record in others]
    names = dict.fromkeys(pair.policy for pair in pairs)
    failures = [{"label": r.id, "error": r.error} for r in records if r.error]
    harmed = [pair for pair in pairs if pair.harmed or pair.ratio > bound]
    return Summary(
        bound,
        _mean(record.target_accuracy for record in whole.values()),
        {name: _figures([p for p in pairs if p.policy == name], bound) for name in names},
        sorted(harmed, key=lambda pair: (pair.ratio, pair.harmed), reverse=True),
        _claims(pairs, bool(failures), bound),
        failures,
    )


def worst_loss(record: Record) -> float:
    """Return the largest loss of a run; infinity if one was not finite."""
    return math.inf if record.non_finite else record.max_loss


def _pair(record: Record, plain: Record) -> Pair:
    allowed = worst_loss(plain)
    target, rival = record.target_accuracy, plain.target_accuracy
    return Pair(
        *(record.id, record.policy, record.network),
        ratio=1.0 if math.isinf(allowed) else round(worst_loss(record) / allowed, 4),
        harmed=record.at_chance and not plain.at_chance,
        target=target,
        difference=None if target is None or rival is None else target - rival,
        interventions=sum(record.interventions.values()),
    )


def _figures(pairs: Sequence[Pair], bound: float) -> Figures:
    worst = max(pairs, key=lambda pair: pair.ratio)
    known = np.array([pair.difference for pair in pairs if pair.difference is not None])
    return Figures(
        runs=len(pairs),
        at_chance=sum(pair.harmed for pair in pairs),
        beyond_bound=sum(pair.ratio > bound for pair in pairs),
        worst_ratio=worst.ratio,
        worst_run=worst.id,
        interventions=sum(pair.interventions for pair in pairs),
        target=_mean(pair.target for pair in pairs),
        difference=estimate(known[None], mean, TASKS),
    )


def _claims(pairs: Sequence[Pair], failed: bool, bound: float) -> list[Claim]:
    """Return the claims; that about chance only where runs are scored."""
    harmed = sum(pair.harmed for pair in pairs)
    worst = max((pair.ratio for pair in pairs), default=1.0)
    says = f"worst loss <= {bound:g} x the plain run's worst"
    claims = [Claim(says, worst, worst <= bound and not failed)]
    if any(pair.target is not None for pair in pairs):
        says = "0 runs end at chance where the plain run does not"
        claims.insert(0, Claim(says, harmed, harmed == 0 and not failed))
    return claims


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def tables(summary: Summary) -> list[Table]:
    """Return the figures of policies, their worst runs, claims, and the runs that break them."""
    note = (
        "at chance: runs that end at chance where the plain run does not. worst loss: the largest "
        "loss over the plain run's largest, in the worst run; beyond: runs where that is above "
        f"{summary.bound:g}. target: accuracy on the target, %; against plain: the mean paired "
        "difference in points, with a 95 % bootstrap interval over runs."
    )
    policies = Table.of("Harm", summary.policies.items(), POLICIES, note)
    plain = ("plain", "", "", "", "", short(summary.plain), "")
    harm = Table.of(
        "Runs that break a claim",
        summary.harmed[:SHOWN],
        HARMED,
        f"{len(summary.harmed)} runs in all." if len(summary.harmed) > SHOWN else "",
    )
    return [
        replace(policies, rows=[plain, *policies.rows]),
        Table.of("Where it is worst", summary.policies.items(), WORST),
        Table.of("Claims", summary.claims, CLAIMS),
        *([harm] if harm.rows else []),
    ]


def tuning_table(records: Sequence[Record]) -> Table:
    """Return the accuracies at every candidate of the base learning rate."""
    settings: dict[tuple[str, float], list[Record]] = {}
    for record in records:
        if not record.error:
            key = (f"{record.network}, {record.optimizer}", record.lr)
            settings.setdefault(key, []).append(record)
    rows = [
        (
            *(name, f"{lr:g}", f"{max(run.max_loss for run in runs):.2f}"),
            short(_mean(run.source_accuracy for run in runs)),
            short(_mean(run.target_accuracy for run in runs)),
        )
        for (name, lr), runs in settings.items()
    ]
    return Table("Plain runs", ("run", "base LR", "worst loss", "source", "target"), rows)


def _ratio(ratio: float) -> str:
    if math.isinf(ratio):
        return "∞"
    return f"{ratio:.2f}" if ratio < 1000 else f"{ratio:.0e}"


POLICIES: Columns = {
    "policy": lambda each: each[0],
    "runs": lambda each: str(each[1].runs),
    "at chance": lambda each: str(each[1].at_chance),
    "beyond": lambda each: str(each[1].beyond_bound),
    "worst loss": lambda each: _ratio(each[1].worst_ratio),
    "target": lambda each: short(each[1].target),
    "against plain": lambda each: points(each[1].difference),
}
WORST: Columns = {
    "policy": lambda each: each[0],
    "worst loss": lambda each: _ratio(each[1].worst_ratio),
    "run": lambda each: each[1].worst_run,
}
HARMED: Columns = {
    "run": lambda pair: pair.id,
    "worst loss": lambda pair: _ratio(pair.ratio),
    "at chance": lambda pair: "yes" if pair.harmed else "",
    "guard": lambda pair: str(pair.interventions),
}
CLAIMS: Columns = {
    "claim": lambda each: each.claim,
    "found": lambda each: str(each.found) if isinstance(each.found, int) else _ratio(each.found),
    "verdict": lambda each: "holds" if each.holds else "FAILS",
}
