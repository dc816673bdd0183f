"""The training loss and its trend."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from l2o.signals.base import Measurement, Signal, known, log_ratio


class Loss(Signal):
    """log₁₀(mean training loss of the last window) / 2."""

    limit: ClassVar[float] = 2.0

    def compute(self, measured: Measurement) -> Tensor:
        """Return the log."""
        return log_ratio(measured.loss, 1.0, 2.0)


class LossTrend(Signal):
    """log₁₀(loss / loss one window earlier)."""

    def compute(self, measured: Measurement) -> Tensor:
        """Return the log ratio."""
        return log_ratio(measured.loss, measured.previous_loss, 1.0)


class HasLoss(Signal):
    """1 if a finite training loss was observed."""

    def compute(self, measured: Measurement) -> Tensor:
        """Return the flag."""
        return known(measured.loss)
