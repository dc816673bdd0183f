"""The penalty for divergence."""

from __future__ import annotations

from l2o.envs.rewards.base import Outcome, Reward


class Divergence(Reward):
    """−1 when the fine-tune diverges."""

    def compute(self, before: Outcome, after: Outcome) -> float:
        """Return the penalty."""
        return -1.0 if after.diverged else 0.0
