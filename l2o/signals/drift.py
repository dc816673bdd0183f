"""How far a layer has moved from the pretrained weights."""

from __future__ import annotations

from typing import ClassVar

from l2o.signals.base import LogRatio, Quantity


class Drift(LogRatio):
    """log₁₀(‖θ − θ₀‖ / ‖θ₀‖) / 4: how far the layer has moved from the pretrained weights."""

    needs: ClassVar[frozenset[Quantity]] = frozenset({"drift"})
    limit: ClassVar[float] = 2.0
    numerator, denominator, scale = "drift_norm", "start_norm", 4.0
