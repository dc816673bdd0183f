"""What the `results.json` of a comparison over families holds."""

from __future__ import annotations

from l2o.benchmarks.cells.record import Frozen
from l2o.benchmarks.comparisons.results_file import Chosen, Counts, Finished, Results
from l2o.benchmarks.comparisons.zero_shot.contenders import Kind
from l2o.benchmarks.statistics import Difference, Estimate
from l2o.configs.schema import Named

Numbers = tuple[tuple[float | None, ...], ...]
"""Scores `[runs, tasks]`; null where a run is missing."""


class AtFactor(Frozen):
    """What a contender scores at one base LR."""

    factor: float
    score: Estimate


class FamilyResult(Frozen):
    """What a contender scores on one family: estimates, and each run's score."""

    default: Estimate
    mean: Estimate | None
    by_factor: tuple[AtFactor, ...]
    scores_default: Numbers
    scores_mean: Numbers | None
    chosen: tuple[Chosen, ...]


class ContenderResult(Frozen):
    """One row: over all families, on each, and what the policy is against it, by setting."""

    label: str
    kind: Kind
    fine_tunes_per_task: int
    default: Estimate
    mean: Estimate | None
    fine_tunes: int
    at_chance: int
    diverged: int
    families: dict[str, FamilyResult]
    against: dict[str, Difference]


class Family(Frozen):
    """A family of tasks, and how much was run on it."""

    unseen: bool
    task: Named
    optimizer: Named
    chance: tuple[float, ...]
    steps: tuple[int, ...]
    default_base_lr: tuple[float, ...]
    fine_tunes: int
    planned: int


class Policy(Frozen):
    """A policy that is compared; `fingerprint` says which one it is."""

    label: str
    fingerprint: str


class ZeroShotCounts(Counts):
    """How much was run."""

    families: int
    grid_points: int


class Cost(Frozen):
    """What it costs to get there on one task, in fine-tunes.

    Attributes:
        at_use: under the policy.
        tuning: of the grid.
        training: of the policy, once; null where its card says nothing.
        amortised_after: tasks after which the training has paid off; null for never.
    """

    at_use: int
    tuning: int
    training: int | None
    amortised_after: int | None


class ZeroShotResults(Results):
    """The `results.json` of a comparison over families."""

    kind: str = "zero_shot"
    policies: tuple[Policy, ...]
    counts: ZeroShotCounts
    families: dict[str, Family]
    cost: Cost
    rows: tuple[ContenderResult, ...]


ZeroShotFolder = Finished[ZeroShotResults]
