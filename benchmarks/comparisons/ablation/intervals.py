"""Means over learning seeds and episodes, and how sure they are."""

from __future__ import annotations

import numpy as np

from l2o.benchmarks.statistics import Array, Estimate

LEVEL = 0.95


def estimate_mean(scores: Array, resamples: int, seed: int = 0) -> Estimate:
    """Return the mean of scores with its percentile-bootstrap interval.

    Episodes are drawn with replacement, the same ones for all learning seeds; with two learning
    seeds or more these are drawn, too, independently (Owen, The Pigeonhole Bootstrap, 2007). With
    one, the interval says nothing of what another one would have come to.

    Args:
        scores: `[learning seeds, episodes]`: scores, or differences of paired ones.
        resamples: bootstrap draws.
        seed: of the draws; the same seed and shape give the same draws.

    Example:
        >>> estimate_mean(np.array([[0.5, 0.5]]), resamples=10).low
        0.5
    """
    seeds, episodes = scores.shape
    value = float(scores.mean())
    if episodes < 2:
        return Estimate(value, np.nan, np.nan, scores.size)
    rng = np.random.default_rng(seed)
    drawn_episodes = rng.integers(episodes, size=(resamples, 1, episodes))
    drawn_seeds = rng.integers(seeds, size=(resamples, seeds, 1))
    means = scores[drawn_seeds, drawn_episodes].mean(axis=(1, 2))
    tail = (1.0 - LEVEL) / 2.0
    low, high = np.quantile(means, [tail, 1.0 - tail])
    return Estimate(value, float(low), float(high), scores.size)
