"""Which candidate to take: the one that moves the backbone least among those that do well."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MARGIN, SMALL_MARGIN = 0.1, 0.02
"""Share of what the best candidate gains that is given up for a backbone that moves less: where
pretraining has something to give, and where it has little."""

Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Tried:
    """What a candidate's short run came to.

    Attributes:
        name: of the candidate.
        scores: of each part of the validation data, larger is better, `[N]`; chance where the run
            diverged is what no candidate wins with: minus infinity.
        moved: ‖θ − θ₀‖ / ‖θ₀‖ of the backbone at the end.
        loss: the last training loss.
        seconds: that it took.
        diverged: whether loss or weights were no longer finite.
    """

    name: str
    scores: Scores
    moved: float
    loss: float
    seconds: float
    diverged: bool = False

    @property
    def score(self) -> float:
        """The mean over the parts."""
        return -np.inf if self.diverged else float(self.scores.mean())


@dataclass(frozen=True)
class Ranked:
    """A candidate beside the one that is suggested.

    Attributes:
        tried: what it came to.
        behind: the suggested one's score less this one's, its mean over the parts.
        low: lower end of its 95 % interval over the parts; NaN where there is but one.
        high: upper end.
    """

    tried: Tried
    behind: float
    low: float
    high: float


def choose(tried: Sequence[Tried], start: float, little: bool = False) -> Tried:
    """Return the candidate to take.

        argmin moved over the candidates with score >= best − margin · (best − start)

    The best score on synthetic validation data is often that of a backbone which moved towards them
    and away from the real ones, so a share of what was gained is given up for less movement. How
    large a share is read off the trials of docs/suggest.md.

    Args:
        tried: all candidates.
        start: the score before any training.
        little: whether pretraining seems to have little to give; then less is given up.

    Raises:
        RuntimeError: every run diverged.

    Example:
        >>> rows = [("a", 0.80, 0.3), ("b", 0.78, 0.1), ("c", 0.60, 0.0)]
        >>> tried = [Tried(n, np.full(9, s), moved, 0.0, 1.0) for n, s, moved in rows]
        >>> choose(tried, start=0.1).name, choose(tried, start=0.1, little=True).name
        ('b', 'a')
    """
    ran = [each for each in tried if not each.diverged]
    if not ran:
        raise RuntimeError(
            "every candidate's run diverged; take a smaller base learning rate, look at the loss, "
            "and see whether inputs are as the network was trained on them"
        )
    best = max(each.score for each in ran)
    margin = (SMALL_MARGIN if little else MARGIN) * max(best - start, 0.0)
    close = [each for each in ran if each.score >= best - margin]
    return min(close, key=lambda each: (each.moved, -each.score))


def rank(tried: Sequence[Tried], chosen: Tried) -> list[Ranked]:
    """Return all candidates, the chosen one first, then by score, with how far each is behind.

    Intervals are over the parts, 1.96 standard errors of the paired differences; the chance of a
    training is in none of them.
    """
    rows = []
    for each in tried:
        if each.diverged:
            rows.append(Ranked(each, np.inf, np.nan, np.nan))
            continue
        differences = chosen.scores - each.scores
        mean, parts = float(differences.mean()), len(differences)
        half = 1.96 * differences.std(ddof=1) / parts**0.5 if parts > 1 else np.nan
        rows.append(Ranked(each, mean, float(mean - half), float(mean + half)))
    return sorted(rows, key=lambda row: (row.tried is not chosen, -row.tried.score))
