"""The claims of a comparison over families, each with what it must show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from l2o.benchmarks.cells.quantities import Quantity, is_at_chance
from l2o.benchmarks.comparisons.claims import BEST, SETTINGS, Figure, judge
from l2o.benchmarks.comparisons.zero_shot.contenders import Contender
from l2o.benchmarks.comparisons.zero_shot.plan import FAILED, FINE_TUNES
from l2o.benchmarks.statistics import (
    TASKS,
    Difference,
    Estimate,
    difference_of_means,
    estimate,
    mean,
)
from l2o.configs.schema import Claim


@dataclass(frozen=True)
class Contest:
    """All contenders, and how they are compared.

    Attributes:
        contenders: all rows.
        main: what they are ranked by.
        resamples: of the bootstrap.
    """

    contenders: Sequence[Contender]
    main: Quantity
    resamples: int

    def compare(
        self, setting: str, first: Contender, other: Contender, families: list[str]
    ) -> Difference:
        """Compare two at the default base LR, or in the mean over base LRs: positive is better.

        Where one of the two was not run at all base LRs, nothing is known: NaN.
        """
        one, two = (each.scores(setting, families) for each in (first, other))
        if one is None or two is None:
            return Difference()
        gains = ([self.main.sign * scores for scores in strata] for strata in (one, two))
        return difference_of_means(*gains, resamples=self.resamples)

    def check(self, claim: Claim, unseen: Sequence[str]) -> Iterator[Figure]:
        """Yield a claim's figures, one for each base LR and population.

        None where it is about a policy that is left out. Differences are of interquartile means.

        Args:
            claim: of the config; rows and rivals are kinds of contenders, or labels.
            unseen: families whose architecture, optimizer or data no policy was learned on.
        """
        first = self._find(claim.row or "policy")
        if first is None:
            return
        families = list(first.families)
        if claim.metric == FAILED:
            yield self._failing(claim, first, families)
        elif claim.metric == FINE_TUNES:
            figure, found = f"{first.label}: fine-tunes at use", Estimate(first.fine_tunes)
            use = "one use: one task, one base LR, one seed"
            yield judge(claim, figure, found, "fine-tunes", 1.0, population=use)
        elif claim.unseen:
            for name in unseen:
                own = claim.model_copy(update={"claim": f"{claim.claim}: {name}"})
                yield from self._against(own, first, [name])
        else:
            yield from self._against(claim, first, families)

    def _find(self, name: str) -> Contender | None:
        found = (each for each in self.contenders if name in (each.kind, each.label))
        return next(found, None)

    def _against(self, claim: Claim, first: Contender, families: list[str]) -> Iterator[Figure]:
        for setting in (SETTINGS[each] for each in claim.base_lrs):
            if claim.rival == BEST:
                yield from self._hardest(claim, first, families, setting)
            else:
                other = self._find(str(claim.rival))
                if other is not None:
                    yield self._figure(claim, first, other, families, setting)

    def _hardest(
        self, claim: Claim, first: Contender, families: list[str], setting: str
    ) -> Iterator[Figure]:
        """Compare with the untuned schedule that is hardest to beat, named in hindsight."""
        found = [
            self._figure(claim, first, other, families, setting)
            for other in self.contenders
            if other.kind == "schedule" and other.scores(setting, families) is not None
        ]
        known = [figure for figure in found if figure.value is not None]
        if not known:
            yield from found[:1]
            return
        hardest = min(known, key=lambda figure: figure.value or 0.0)
        name = f"{first.label} − best of {len(known)} untuned schedules, {setting}"
        yield hardest.model_copy(update={"figure": name})

    def _failing(self, claim: Claim, first: Contender, families: list[str]) -> Figure:
        """Return the share of runs that failed, over all base LRs, in per cent."""
        flags = [first.families[name].failed() for name in families]
        found = estimate(flags, mean, TASKS, resamples=self.resamples)
        return judge(
            claim,
            f"{first.label}: runs that end at chance or diverged",
            found,
            "per cent",
            population=_population(families, found, "every base LR, each fine-tune on its own"),
            at_chance=sum(map(is_at_chance, first.records)),
            diverged=sum(record.diverged for record in first.records),
        )

    def _figure(
        self, claim: Claim, first: Contender, other: Contender, families: list[str], setting: str
    ) -> Figure:
        found = self.compare(setting, first, other, families)
        name = f"{first.label} − {other.label}, {setting}"
        if len(families) == 1 and len(first.families) > 1:
            name += f", {families[0]}"
        unit, scale = self.main.differs_in
        population = _population(families, found, setting)
        return judge(claim, name, found, unit, scale, against=other.label, population=population)


def _population(families: list[str], found: Estimate, setting: str) -> str:
    many = f"families {', '.join(families)}" if len(families) > 1 else f"family {families[0]}"
    return f"{many}: {found.tasks} held-out tasks, {found.runs} runs; {setting}"
