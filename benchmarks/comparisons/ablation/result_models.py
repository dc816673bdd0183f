"""What the records and the `results.json` of an ablation hold."""

from __future__ import annotations

from l2o.benchmarks.cells.record import RECORD_VERSION, Frozen, Scored
from l2o.benchmarks.comparisons.results_file import Finished, Results
from l2o.benchmarks.statistics import Estimate


class RunRecord(Scored):
    """One learned policy: what it took, and how the episodes it is scored on ended.

    Attributes:
        version: of the layout.
        id: hash of all that the scores follow from.
        label: of the variant.
        seed: learning seed.
        folder: of the training run.
        fine_tunes: that it was learned from.
        seconds: of learning.
        scores: of each episode, in the main metric.
        chance: of each episode.
        diverged: of each episode, whether it did.
    """

    version: int = RECORD_VERSION
    id: str
    label: str
    seed: int
    folder: str
    fine_tunes: int
    seconds: float
    scores: tuple[float | None, ...]
    chance: tuple[float | None, ...]
    diverged: tuple[bool, ...]


class VariantResult(Frozen):
    """One variant.

    Attributes:
        label: its name.
        group: what it is about.
        against: label of what it is compared with; null for the base.
        changes: in which fields its training differs from that one's.
        seeds: learning seeds of the policies that there are.
        score: mean over them and the episodes; null where there is no policy.
        difference: to the other one, paired by episode and learning seed; positive is better.
        scored: episodes.
        at_chance: of them, those that ended at chance.
        diverged: those that diverged.
        fine_tunes: that each policy was learned from, in the mean.
        minutes: of learning one.
        scores: of each policy, by episode.
    """

    label: str
    group: str
    against: str | None
    changes: tuple[str, ...]
    seeds: tuple[int, ...]
    score: Estimate | None
    difference: Estimate | None
    scored: int
    at_chance: int
    diverged: int
    fine_tunes: int | None
    minutes: float | None
    scores: tuple[tuple[float | None, ...], ...]

    @property
    def is_clear(self) -> bool:
        """Whether the interval of the difference does not hold zero."""
        found = self.difference
        return found is not None and (found.low > 0 or found.high < 0)


class AblationResults(Results):
    """The `results.json` of an ablation.

    Attributes:
        train: the training config.
        base: label of the first variant.
        fine_tunes: budget of each policy.
        seeds: learning seeds.
        episodes: that every policy is scored on.
        rows: the variants.
    """

    kind: str = "ablation"
    train: str
    base: str
    fine_tunes: int
    seeds: tuple[int, ...]
    episodes: int
    rows: tuple[VariantResult, ...]


AblationFolder = Finished[AblationResults]
