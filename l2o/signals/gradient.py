"""Signals of the newest gradient."""

from __future__ import annotations

from typing import ClassVar

from l2o.signals.base import Cosine, Known, LogRatio, Quantity


class GradientNorm(LogRatio):
    """log₁₀(‖g‖ / ‖θ‖) / 4 of the last step."""

    needs: ClassVar[frozenset[Quantity]] = frozenset({"gradient"})
    limit: ClassVar[float] = 2.0
    numerator, denominator, scale = "gradient_norm", "weight_norm", 4.0


class GradientAlignment(Cosine):
    """cos(g, −Δθ): 1 where the step goes down the newest gradient, less where it disagrees.

    A layer that did not move has none.
    """

    needs: ClassVar[frozenset[Quantity]] = frozenset({"gradient", "update"})
    product, first, second = "gradient_dot_update", "gradient_norm", "update_norm"


class HasGradient(Known):
    """1 where the layer had a finite gradient at the last step."""

    needs: ClassVar[frozenset[Quantity]] = frozenset({"gradient"})
    field = "gradient_norm"
