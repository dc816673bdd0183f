"""What the terms have in common that read a metric of a split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from l2o.envs.objectives import Objective
from l2o.envs.rewards.base import Need, Outcome, Reward


@dataclass(frozen=True)
class MetricReward(Reward):
    """A term on one metric of one split.

    Args:
        metric: its name; None is the main one of the task's objective. Where less is better (a
            loss), the sign is turned.

    Attributes:
        split: the data set that it is measured on.
    """

    split: ClassVar[Need]
    metric: str | None = None

    def check(self, objective: Objective) -> None:
        """Raise ValueError unless the objective has the metric; the message has the nearest."""
        objective.metric(self.metric)


class MetricChange(MetricReward):
    """How much better the metric is than at the last decision; sums to all that was gained."""

    def compute(self, before: Outcome, after: Outcome) -> float:
        """Return after − before, turned where less is better."""
        return after.gain(self.split, self.metric) - before.gain(self.split, self.metric)


class FinalMetric(MetricReward):
    """The metric at the end; zero before."""

    def compute(self, before: Outcome, after: Outcome) -> float:
        """Return the metric once done, turned where less is better."""
        return after.gain(self.split, self.metric) if after.done else 0.0
