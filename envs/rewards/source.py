"""Rewards from what a user can measure: source loss and source validation."""

from __future__ import annotations

from typing import ClassVar

from l2o.envs.rewards.base import Need, Outcome, Reward


class SourceLoss(Reward):
    """−cross-entropy on the source batches of the window that follows the decision, in nats."""

    def compute(self, before: Outcome, after: Outcome) -> float:
        """Return minus the window's mean."""
        return -after.source_loss


class SourceLossChange(Reward):
    """Fall of the source training loss since the last decision."""

    def compute(self, before: Outcome, after: Outcome) -> float:
        """Return before − after."""
        return before.source_loss - after.source_loss


class ValidationLossChange(Reward):
    """Fall of the source validation loss since the last decision."""

    needs: ClassVar[frozenset[Need]] = frozenset({"source_validation"})

    def compute(self, before: Outcome, after: Outcome) -> float:
        """Return before − after."""
        return before.validation_loss - after.validation_loss


class FinalValidationAccuracy(Reward):
    """Source validation accuracy at the end; zero before."""

    needs: ClassVar[frozenset[Need]] = frozenset({"source_validation"})

    def compute(self, before: Outcome, after: Outcome) -> float:
        """Return the accuracy once done."""
        return after.validation_accuracy if after.done else 0.0
