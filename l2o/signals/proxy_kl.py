"""The proxy KL and its trend."""

from __future__ import annotations

from typing import ClassVar

from l2o.signals.base import Known, LogRatio


class ProxyKL(LogRatio):
    """log₁₀(mean proxy KL of the last window) / 2."""

    limit: ClassVar[float] = 2.0
    numerator, scale = "proxy_kl", 2.0


class ProxyKLTrend(LogRatio):
    """log₁₀(proxy KL / proxy KL one window earlier)."""

    numerator, denominator, scale = "proxy_kl", "previous_proxy_kl", 1.0


class HasProxyKL(Known):
    """1 if a finite proxy KL was observed."""

    field = "proxy_kl"
