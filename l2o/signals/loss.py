"""The training loss and its trend."""

from __future__ import annotations

from typing import ClassVar

from l2o.signals.base import Known, LogRatio


class Loss(LogRatio):
    """log₁₀(mean training loss of the last window) / 2."""

    limit: ClassVar[float] = 2.0
    numerator, scale = "loss", 2.0


class LossTrend(LogRatio):
    """log₁₀(loss / loss one window earlier)."""

    numerator, denominator, scale = "loss", "previous_loss", 1.0


class HasLoss(Known):
    """1 if a finite training loss was observed."""

    field = "loss"
