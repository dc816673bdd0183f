"""Baselines: what of a return is subtracted, since no action of the decision could change it.

Each takes returns and rewards `[N, T]` of N episodes with their mask, and gives `[N, T]`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Baseline = Callable[[Array, Array, NDArray[np.bool_]], Array]


def no_baseline(returns: Array, rewards: Array, mask: NDArray[np.bool_]) -> Array:
    """Return zeros."""
    return np.zeros_like(returns)


def batch_mean(returns: Array, rewards: Array, mask: NDArray[np.bool_]) -> Array:
    """Return the mean over all decisions of all episodes."""
    return np.full_like(returns, returns[mask].mean() if mask.any() else 0.0)


def decision_mean(returns: Array, rewards: Array, mask: NDArray[np.bool_]) -> Array:
    """Return, for the t-th decision of an episode, the mean over episodes of the t-th."""
    count = np.maximum(mask.sum(axis=0), 1)
    return np.broadcast_to(np.where(mask, returns, 0.0).sum(axis=0) / count, returns.shape).copy()


def decision_fit(returns: Array, rewards: Array, mask: NDArray[np.bool_]) -> Array:
    """Return the t-th return as the reward before it tells, by least squares over the episodes.

        b_t = mean_t + slope_t (r_{t-1} − mean(r_{t-1}))

    A run that is off already gets off rewards whatever is decided; this takes that out.
    """
    fitted = decision_mean(returns, rewards, mask)
    for t in range(1, returns.shape[1]):
        there = mask[:, t]
        if not there.any():
            continue
        before = rewards[there, t - 1] - rewards[there, t - 1].mean()
        spread = float(before @ before)
        slope = float(before @ (returns[there, t] - fitted[there, t])) / spread if spread else 0.0
        fitted[there, t] += slope * before
    return fitted


BASELINES: dict[str, Baseline] = {
    "none": no_baseline,
    "batch_mean": batch_mean,
    "decision_mean": decision_mean,
    "decision_fit": decision_fit,
}


def discounted_returns(rewards: Array, discount: float) -> Array:
    """Return Σ_k γ^k r_{t+k} of rewards `[N, T]`, zeros after an episode's end.

    Example:
        >>> discounted_returns(np.array([[1.0, 2.0, 4.0]]), 0.5)
        array([[3., 4., 4.]])
    """
    returns = np.array(rewards, np.float64)
    for t in range(rewards.shape[1] - 2, -1, -1):
        returns[:, t] += discount * returns[:, t + 1]
    return returns
