"""The proxy KL and its trend."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from l2o.signals.base import Measurement, Signal, known, log_ratio


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
