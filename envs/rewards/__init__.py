"""Reward terms, weighted and summed by name."""

from l2o.envs.rewards.base import Outcome, Reward
from l2o.envs.rewards.divergence import Divergence
from l2o.envs.rewards.proxy_kl import ProxyKL, ProxyKLChange
from l2o.envs.rewards.source import (
    FinalValidationAccuracy,
    SourceLoss,
    SourceLossChange,
    ValidationLossChange,
)
from l2o.envs.rewards.target import FinalTargetAccuracy, TargetAccuracyChange

REWARDS: dict[str, type[Reward]] = {
    "proxy_kl": ProxyKL,
    "proxy_kl_change": ProxyKLChange,
    "source_loss": SourceLoss,
    "source_loss_change": SourceLossChange,
    "validation_loss_change": ValidationLossChange,
    "final_validation_accuracy": FinalValidationAccuracy,
    "target_accuracy_change": TargetAccuracyChange,
    "final_target_accuracy": FinalTargetAccuracy,
    "divergence": Divergence,
}

__all__ = ["REWARDS", "Outcome", "Reward"]
