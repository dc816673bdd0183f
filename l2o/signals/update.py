"""How far one step moves a layer."""

from __future__ import annotations

from typing import ClassVar

from l2o.signals.base import LogRatio, Quantity


class UpdateNorm(LogRatio):
    """log₁₀(‖Δθ‖ / ‖θ‖) / 4 of the last step: how far one step moves the layer."""

    needs: ClassVar[frozenset[Quantity]] = frozenset({"update"})
    limit: ClassVar[float] = 2.0
    numerator, denominator, scale = "update_norm", "weight_norm", 4.0


class LargestUpdate(LogRatio):
    """log₁₀ of the largest rms(Δθ_t) / max(rms(θ_t), rms(θ)) over a layer's tensors t, / 4.

    How far one step moves the tensor that it moves most. A layer's own norm is that of its largest
    matrix; what a step does to a small one beside it, such as a depthwise convolution or a gain, it
    does not show. The layer's own size is the floor, so that a bias that is still
    zero does not count; Shazeer and Stern, Adafactor, ICML 2018, have a fixed one.
    Not among the default signals.
    """

    needs: ClassVar[frozenset[Quantity]] = frozenset({"update", "largest"})
    limit: ClassVar[float] = 2.0
    numerator, scale = "largest_update", 4.0
