"""The learning rate as it stands: the user's, and the last action."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from l2o.signals.base import Measurement, Signal, log_ratio


class Multiplier(Signal):
    """log₁₀(multiplier) / 3, the last action; zero counts as 10⁻⁴."""

    limit: ClassVar[float] = 4.0 / 3.0

    def compute(self, measured: Measurement) -> Tensor:
        """Return the log."""
        return log_ratio(measured.multiplier, 1.0, 3.0)


class BaseLR(Signal):
    """log₁₀(base learning rate) / 4."""

    limit: ClassVar[float] = 2.0

    def compute(self, measured: Measurement) -> Tensor:
        """Return the log."""
        return log_ratio(measured.base_lr, 1.0, 4.0)
