"""How far a layer has moved from the pretrained weights."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from l2o.signals.base import Measurement, Quantity, Signal, log_ratio


class Drift(Signal):
    """log₁₀(‖θ − θ₀‖ / ‖θ₀‖) / 4: how far the layer has moved from the pretrained weights."""

    needs: ClassVar[frozenset[Quantity]] = frozenset({"drift"})

    def compute(self, measured: Measurement) -> Tensor:
        """Return the log ratio."""
        return log_ratio(measured.drift_norm, measured.start_norm, 4.0)
