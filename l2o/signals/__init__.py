"""Signals: what is measured during training, as features of the policy's observation."""

from l2o.signals.base import MISSING, Measurement, Quantity, Signal, log_ratio
from l2o.signals.layer import (
    BaseLR,
    Depth,
    Drift,
    GradientAlignment,
    GradientNorm,
    HasGradient,
    IsHead,
    Multiplier,
    Present,
    Size,
    UpdateNorm,
)
from l2o.signals.run import (
    HasLoss,
    HasProgress,
    HasProxyKL,
    HasValidationLoss,
    Loss,
    LossTrend,
    Progress,
    ProxyKL,
    ProxyKLTrend,
    StepsLeft,
    ValidationLoss,
    ValidationLossTrend,
)

SIGNALS: dict[str, type[Signal]] = {
    "present": Present,
    "is_head": IsHead,
    "depth": Depth,
    "size": Size,
    "multiplier": Multiplier,
    "base_lr": BaseLR,
    "gradient_norm": GradientNorm,
    "update_norm": UpdateNorm,
    "drift": Drift,
    "gradient_alignment": GradientAlignment,
    "has_gradient": HasGradient,
    "loss": Loss,
    "loss_trend": LossTrend,
    "has_loss": HasLoss,
    "proxy_kl": ProxyKL,
    "proxy_kl_trend": ProxyKLTrend,
    "has_proxy_kl": HasProxyKL,
    "validation_loss": ValidationLoss,
    "validation_loss_trend": ValidationLossTrend,
    "has_validation_loss": HasValidationLoss,
    "progress": Progress,
    "steps_left": StepsLeft,
    "has_progress": HasProgress,
}

__all__ = ["MISSING", "SIGNALS", "Measurement", "Quantity", "Signal", "log_ratio"]
