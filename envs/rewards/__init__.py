"""Reward terms, weighted and summed by name."""

from l2o.envs.rewards.base import Outcome, Reward
from l2o.envs.rewards.divergence import Divergence
from l2o.envs.rewards.proxy_kl import ProxyKL, ProxyKLChange
from l2o.envs.rewards.source import (
    FinalValidation,
    FinalValidationAccuracy,
    SourceLoss,
    SourceLossChange,
    ValidationChange,
    ValidationLossChange,
)
from l2o.envs.rewards.target import (
    FinalTarget,
    FinalTargetAccuracy,
    TargetAccuracyChange,
    TargetChange,
)

REWARDS: dict[str, type[Reward]] = {
    "proxy_kl": ProxyKL,
    "proxy_kl_change": ProxyKLChange,
    "source_loss": SourceLoss,
    "source_loss_change": SourceLossChange,
    "validation": ValidationChange,
    "validation_loss_change": ValidationLossChange,
    "final_validation": FinalValidation,
    "final_validation_accuracy": FinalValidationAccuracy,
    "target": TargetChange,
    "target_accuracy_change": TargetAccuracyChange,
    "final_target": FinalTarget,
    "final_target_accuracy": FinalTargetAccuracy,
    "divergence": Divergence,
}

__all__ = ["REWARDS", "Outcome", "Reward"]
