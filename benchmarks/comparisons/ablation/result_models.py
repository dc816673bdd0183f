"""What the records and the `results.json` of an ablation hold."""

from __future__ import annotations

from l2o.benchmarks.cells.quantities import Quantity
from l2o.benchmarks.cells.record import RECORD_VERSION, Frozen
from l2o.benchmarks.comparisons.results_file import Estimated, Finished, Results
from l2o.benchmarks.statistics import Estimate


class RunRecord(Frozen):
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
        difference: to the other one, paired by episode and learning seed.
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
    score: Estimated | None
    difference: Estimated | None
    scored: int
    at_chance: int
    diverged: int
    fine_tunes: int | None
    minutes: float | None
    scores: tuple[tuple[float | None, ...], ...]

    @property
    def is_clear(self) -> bool:
        """Whether the interval of the difference does not hold zero."""
        return self.difference is not None and leaves_zero_out(self.difference)


def leaves_zero_out(difference: Estimate) -> bool:
    """Tell whether the interval of a difference does not hold zero.

    Example:
        >>> leaves_zero_out(Estimate(1.0, 0.5, 1.5)), leaves_zero_out(Estimate(1.0))
        (True, False)
    """
    return bool(difference.low > 0 or difference.high < 0)


class AblationResults(Results):
    """The `results.json` of an ablation.

    Attributes:
        main: what policies are ranked by.
        train: the training config.
        base: label of the first variant.
        fine_tunes: budget of each policy.
        seeds: learning seeds.
        episodes: that every policy is scored on.
        rows: the variants.
    """

    kind: str = "ablation"
    main: Quantity
    train: str
    base: str
    fine_tunes: int
    seeds: tuple[int, ...]
    episodes: int
    rows: tuple[VariantResult, ...]


AblationFolder = Finished[AblationResults]
