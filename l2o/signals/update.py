"""How far one step moves a layer."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from l2o.signals.base import Measurement, Quantity, Signal, log_ratio


class UpdateNorm(Signal):
    """log₁₀(‖Δθ‖ / ‖θ‖) / 4 of the last step: how far one step moves the layer."""

    needs: ClassVar[frozenset[Quantity]] = frozenset({"update"})
    limit: ClassVar[float] = 2.0

    def compute(self, measured: Measurement) -> Tensor:
        """Return the log ratio."""
        return log_ratio(measured.update_norm, measured.weight_norm, 4.0)
