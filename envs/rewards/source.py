"""Rewards from what a user can measure: source loss and source validation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from l2o.envs.rewards.base import Need, Outcome, Reward
from l2o.envs.rewards.metric import FinalMetric, MetricChange


class SourceLoss(Reward):
    """−loss on the source batches of the window that follows the decision."""

    def compute(self, before: Outcome, after: Outcome) -> float:
        """Return minus the window's mean."""
        return -after.source_loss


class SourceLossChange(Reward):
    """Fall of the source training loss since the last decision."""

    def compute(self, before: Outcome, after: Outcome) -> float:
        """Return before − after."""
        return before.source_loss - after.source_loss


class ValidationChange(MetricChange):
    """Gain in a source-validation metric since the last decision."""

    split: ClassVar[Need] = "source_validation"
    needs: ClassVar[frozenset[Need]] = frozenset({"source_validation"})


class FinalValidation(FinalMetric):
    """A source-validation metric at the end; zero before."""

    split: ClassVar[Need] = "source_validation"
    needs: ClassVar[frozenset[Need]] = frozenset({"source_validation"})


@dataclass(frozen=True)
class ValidationLossChange(ValidationChange):
    """Fall of the source validation loss since the last decision."""

    metric: str | None = "loss"


@dataclass(frozen=True)
class FinalValidationAccuracy(FinalValidation):
    """Source validation accuracy at the end; zero before."""

    metric: str | None = "accuracy"
