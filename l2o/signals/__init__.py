"""Signals: what is measured during training, as features of the policy's observation."""

from l2o.signals.base import MISSING, Measurement, Quantity, Signal, log_ratio
from l2o.signals.drift import Drift
from l2o.signals.gradient import GradientAlignment, GradientNorm, HasGradient
from l2o.signals.layer import (
    Depth,
    FanIn,
    IsGuidance,
    IsHead,
    Present,
    Size,
    VectorShare,
    WeightRMS,
)
from l2o.signals.learning_rate import BaseLR, Multiplier
from l2o.signals.loss import HasLoss, Loss, LossTrend
from l2o.signals.progress import HasProgress, Progress, StepsLeft
from l2o.signals.proxy_kl import HasProxyKL, ProxyKL, ProxyKLTrend
from l2o.signals.raw import (
    CurrentFactor,
    HeadMean,
    HeadStd,
    WindowLoss,
    WindowProgress,
    WindowProxyKL,
)
from l2o.signals.update import LargestUpdate, UpdateNorm
from l2o.signals.validation_loss import HasValidationLoss, ValidationLoss, ValidationLossTrend

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
    "current_factor": CurrentFactor,
    "window_loss": WindowLoss,
    "window_proxy_kl": WindowProxyKL,
    "window_progress": WindowProgress,
    "head_mean": HeadMean,
    "head_std": HeadStd,
    "is_guidance": IsGuidance,
    "fan_in": FanIn,
    "vector_share": VectorShare,
    "weight_rms": WeightRMS,
    "largest_update": LargestUpdate,
}

RAW_SIGNALS = (
    "current_factor",
    "window_loss",
    "window_proxy_kl",
    "window_progress",
    "head_mean",
    "head_std",
)
"""Signals on no common scale, for policies that ask for them."""
KIND_SIGNALS = ("fan_in", "vector_share", "weight_rms")
"""Signals of what kind a layer is, for policies that ask for them."""
_ASKED_FOR = (*RAW_SIGNALS, "is_guidance", *KIND_SIGNALS, "largest_update")
DEFAULT_SIGNALS = tuple(name for name in SIGNALS if name not in _ASKED_FOR)
"""What an observation is made of unless a spec says otherwise."""

__all__ = [
    "DEFAULT_SIGNALS",
    "KIND_SIGNALS",
    "MISSING",
    "RAW_SIGNALS",
    "SIGNALS",
    "Measurement",
    "Quantity",
    "Signal",
    "log_ratio",
]
