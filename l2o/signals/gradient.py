"""Signals of the newest gradient."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from l2o.signals.base import Known, LogRatio, Measurement, Quantity, Signal


class GradientNorm(LogRatio):
    """log₁₀(‖g‖ / ‖θ‖) / 4 of the last step."""

    needs: ClassVar[frozenset[Quantity]] = frozenset({"gradient"})
    numerator, denominator, scale = "gradient_norm", "weight_norm", 4.0


class GradientAlignment(Signal):
    """cos(g, −Δθ): 1 where the step goes down the newest gradient, less where it disagrees."""

    needs: ClassVar[frozenset[Quantity]] = frozenset({"gradient", "update"})

    def compute(self, measured: Measurement) -> Tensor:
        """Return the cosine; a layer that did not move has none."""
        return measured.gradient_dot_update / (measured.gradient_norm * measured.update_norm)


class HasGradient(Known):
    """1 where the layer had a finite gradient at the last step."""

    needs: ClassVar[frozenset[Quantity]] = frozenset({"gradient"})
    field = "gradient_norm"
