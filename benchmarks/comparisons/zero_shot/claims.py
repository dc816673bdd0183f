"""The claims of a comparison over families, each with what it must show."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from l2o.benchmarks.comparisons.claims import BEST, DEFAULT, MISJUDGED, SETTINGS, Figure, judge
from l2o.benchmarks.comparisons.zero_shot.contenders import Contender
from l2o.benchmarks.comparisons.zero_shot.plan import FAILED, FINE_TUNES
from l2o.benchmarks.statistics import (
    TASKS,
    Difference,
    Estimate,
    Matrix,
    difference_of_means,
    estimate,
    mean,
)
from l2o.configs.schema import Claim


def check_claims(
    claims: Sequence[Claim], contenders: Sequence[Contender], unseen: Sequence[str], resamples: int
) -> list[Figure]:
    """Return one figure per claim, base LRs and population.

    Differences are in percentage points, interquartile mean minus interquartile mean.

    Args:
        claims: of the config; rows and rivals are kinds of contenders, or labels.
        contenders: all rows.
        unseen: families whose architecture, optimizer or data no policy was learned on.
        resamples: of the bootstrap.
    """
    return [
        figure
        for claim in claims
        for figure in _Checker(contenders, resamples).check(claim, unseen)
    ]


@dataclass(frozen=True)
class _Checker:
    """Makes the figures of claims."""

    contenders: Sequence[Contender]
    resamples: int

    def check(self, claim: Claim, unseen: Sequence[str]) -> Iterator[Figure]:
        """Yield a claim's figures; none where it is about a policy that is left out."""
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
        schedules = [each for each in self.contenders if each.kind == "schedule"]
        found = [
            self._figure(claim, first, other, families, setting)
            for other in schedules
            if setting == DEFAULT or other.mean(families) is not None
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
        own = [first.families[name] for name in families]
        flags = [scores.failed() for scores in own]
        found = estimate(flags, mean, TASKS, resamples=self.resamples)
        return judge(
            claim,
            f"{first.label}: runs that end at chance or diverged",
            found,
            "per cent",
            population=_population(families, found, "every base LR, each fine-tune on its own"),
            at_chance=sum(scores.at_chance for scores in own),
            diverged=sum(scores.diverged for scores in own),
        )

    def _figure(
        self, claim: Claim, first: Contender, other: Contender, families: list[str], setting: str
    ) -> Figure:
        found = compare_in(setting, first, other, families, self.resamples)
        name = f"{first.label} − {other.label}, {setting}"
        if len(families) == 1 and len(first.families) > 1:
            name += f", {families[0]}"
        population = _population(families, found, setting)
        return judge(claim, name, found, against=other.label, population=population)


def compare_in(
    setting: str, first: Contender, other: Contender, families: list[str], resamples: int
) -> Difference:
    """Compare two contenders at the default base LR, or in the mean over base LRs.

    Where one of the two was not run at all base LRs, nothing is known: NaN.
    """
    take: dict[str, Callable[[Contender], list[Matrix] | None]] = {
        DEFAULT: lambda contender: contender.default(families),
        MISJUDGED: lambda contender: contender.mean(families),
    }
    one, two = take[setting](first), take[setting](other)
    if one is None or two is None:
        return Difference()
    return difference_of_means(one, two, resamples=resamples)


def _population(families: list[str], found: Estimate, setting: str) -> str:
    many = f"families {', '.join(families)}" if len(families) > 1 else f"family {families[0]}"
    return f"{many}: {found.tasks} held-out tasks, {found.runs} runs; {setting}"
