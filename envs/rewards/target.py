"""Rewards from real data, for meta-training on tasks whose real data is at hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from l2o.envs.rewards.base import Need
from l2o.envs.rewards.metric import FinalMetric, MetricChange


class TargetChange(MetricChange):
    """Gain in a target-validation metric since the last decision; sums to the final one."""

    split: ClassVar[Need] = "target_validation"
    needs: ClassVar[frozenset[Need]] = frozenset({"target_validation"})


class FinalTarget(FinalMetric):
    """A target-validation metric at the end; zero before."""

    split: ClassVar[Need] = "target_validation"
    needs: ClassVar[frozenset[Need]] = frozenset({"target_validation"})


@dataclass(frozen=True)
class TargetAccuracyChange(TargetChange):
    """Rise of the target-validation accuracy since the last decision; sums to the final one."""

    metric: str | None = "accuracy"


@dataclass(frozen=True)
class FinalTargetAccuracy(FinalTarget):
    """Target-validation accuracy at the end; zero before."""

    metric: str | None = "accuracy"
