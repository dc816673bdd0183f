"""Signals of the run as a whole, the same for every layer."""

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


class ProxyKL(Signal):
    """log₁₀(mean proxy KL of the last window) / 2."""

    limit: ClassVar[float] = 2.0

    def compute(self, measured: Measurement) -> Tensor:
        """Return the log."""
        return log_ratio(measured.proxy_kl, 1.0, 2.0)


class ProxyKLTrend(Signal):
    """log₁₀(proxy KL / proxy KL one window earlier)."""

    def compute(self, measured: Measurement) -> Tensor:
        """Return the log ratio."""
        return log_ratio(measured.proxy_kl, measured.previous_proxy_kl, 1.0)


class HasProxyKL(Signal):
    """1 if a finite proxy KL was observed."""

    def compute(self, measured: Measurement) -> Tensor:
        """Return the flag."""
        return known(measured.proxy_kl)


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


class Progress(Signal):
    """Share of the training done, in [0, 1]."""

    def compute(self, measured: Measurement) -> Tensor:
        """Return the share."""
        return measured.progress


class StepsLeft(Signal):
    """log₁₀(1 + optimizer steps left) / 6."""

    def compute(self, measured: Measurement) -> Tensor:
        """Return the log."""
        return log_ratio(measured.steps_left + 1.0, 1.0, 6.0)


class HasProgress(Signal):
    """1 if the length of the training is known."""

    def compute(self, measured: Measurement) -> Tensor:
        """Return the flag."""
        return known(measured.progress)
