"""The validation loss and its trend, where the user gives one."""

from __future__ import annotations

from typing import ClassVar

from l2o.signals.base import Known, LogRatio


class ValidationLoss(LogRatio):
    """log₁₀(latest validation loss) / 2."""

    limit: ClassVar[float] = 2.0
    numerator, scale = "validation_loss", 2.0


class ValidationLossTrend(LogRatio):
    """log₁₀(validation loss / the one before it)."""

    numerator, denominator, scale = "validation_loss", "previous_validation_loss", 1.0


class HasValidationLoss(Known):
    """1 if a finite validation loss was observed."""

    field = "validation_loss"
