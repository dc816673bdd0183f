"""Rewards from real data, for meta-training on tasks whose real data is at hand."""

from __future__ import annotations

from typing import ClassVar

from l2o.envs.rewards.base import Need, Outcome, Reward


class TargetAccuracyChange(Reward):
    """Rise of the target-validation accuracy since the last decision; sums to the final one."""

    needs: ClassVar[frozenset[Need]] = frozenset({"target_validation"})

    def compute(self, before: Outcome, after: Outcome) -> float:
        """Return after − before."""
        return after.target_accuracy - before.target_accuracy


class FinalTargetAccuracy(Reward):
    """Target-validation accuracy at the end; zero before."""

    needs: ClassVar[frozenset[Need]] = frozenset({"target_validation"})

    def compute(self, before: Outcome, after: Outcome) -> float:
        """Return the accuracy once done."""
        return after.target_accuracy if after.done else 0.0
