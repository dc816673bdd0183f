"""The validation loss and its trend, where the user gives one."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from l2o.signals.base import Measurement, Signal, known, log_ratio


class ValidationLoss(Signal):
    """log₁₀(latest validation loss) / 2."""

    limit: ClassVar[float] = 2.0

    def compute(self, measured: Measurement) -> Tensor:
        """Return the log."""
        return log_ratio(measured.validation_loss, 1.0, 2.0)


class ValidationLossTrend(Signal):
    """log₁₀(validation loss / the one before it)."""

    def compute(self, measured: Measurement) -> Tensor:
        """Return the log ratio."""
        return log_ratio(measured.validation_loss, measured.previous_validation_loss, 1.0)


class HasValidationLoss(Signal):
    """1 if a finite validation loss was observed."""

    def compute(self, measured: Measurement) -> Tensor:
        """Return the flag."""
        return known(measured.validation_loss)
