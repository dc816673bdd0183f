"""How far one step moves a layer."""

from __future__ import annotations

from typing import ClassVar

from l2o.signals.base import LogRatio, Quantity


class UpdateNorm(LogRatio):
    """log₁₀(‖Δθ‖ / ‖θ‖) / 4 of the last step: how far one step moves the layer."""

    needs: ClassVar[frozenset[Quantity]] = frozenset({"update"})
    limit: ClassVar[float] = 2.0
    numerator, denominator, scale = "update_norm", "weight_norm", 4.0
