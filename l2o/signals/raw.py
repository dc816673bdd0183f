"""ASG's observation, as published: plain means over the last window, on no common scale.

Not among the default signals. Source: Chen et al., Automated Synthetic-to-Real Generalization, ICML
2020. The means are over the weights that the window's losses were computed with.
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from l2o.signals.base import Measurement, Quantity, Signal


class CurrentFactor(Signal):
    """The multiplier of the last window as it is."""

    limit: ClassVar[float] = 100.0

    def compute(self, measured: Measurement) -> Tensor:
        """Return the multiplier."""
        return measured.multiplier


class WindowLoss(Signal):
    """Mean training loss of the last window, in nats."""

    limit: ClassVar[float] = 100.0

    def compute(self, measured: Measurement) -> Tensor:
        """Return the mean."""
        return measured.loss


class WindowProxyKL(Signal):
    """Mean proxy KL of the last window, in nats."""

    limit: ClassVar[float] = 100.0

    def compute(self, measured: Measurement) -> Tensor:
        """Return the mean."""
        return measured.proxy_kl


class WindowProgress(Signal):
    """Mean share of the training done over the last window."""

    def compute(self, measured: Measurement) -> Tensor:
        """Return the mean."""
        return measured.window_progress


class HeadMean(Signal):
    """Mean of the new head's weights (not its biases), mean over the last window."""

    needs: ClassVar[frozenset[Quantity]] = frozenset({"head"})
    limit: ClassVar[float] = 10.0

    def compute(self, measured: Measurement) -> Tensor:
        """Return the mean."""
        return measured.head_mean


class HeadStd(Signal):
    """Standard deviation of the new head's weights, mean over the last window."""

    needs: ClassVar[frozenset[Quantity]] = frozenset({"head"})
    limit: ClassVar[float] = 10.0

    def compute(self, measured: Measurement) -> Tensor:
        """Return the mean."""
        return measured.head_std
