"""Signals of each layer group."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from l2o.signals.base import Measurement, Quantity, Signal, known, log_ratio


class Present(Signal):
    """1 for a layer, 0 for padding: networks of different depth share one observation shape."""

    def compute(self, measured: Measurement) -> Tensor:
        """Return the mask."""
        return measured.present


class GradientNorm(Signal):
    """log₁₀(‖g‖ / ‖θ‖) / 4 of the last step."""

    needs: ClassVar[frozenset[Quantity]] = frozenset({"gradient"})

    def compute(self, measured: Measurement) -> Tensor:
        """Return the log ratio."""
        return log_ratio(measured.gradient_norm, measured.weight_norm, 4.0)


class UpdateNorm(Signal):
    """log₁₀(‖Δθ‖ / ‖θ‖) / 4 of the last step: how far one step moves the layer."""

    needs: ClassVar[frozenset[Quantity]] = frozenset({"update"})
    limit: ClassVar[float] = 2.0

    def compute(self, measured: Measurement) -> Tensor:
        """Return the log ratio."""
        return log_ratio(measured.update_norm, measured.weight_norm, 4.0)


class Drift(Signal):
    """log₁₀(‖θ − θ₀‖ / ‖θ₀‖) / 4: how far the layer has moved from the pretrained weights."""

    needs: ClassVar[frozenset[Quantity]] = frozenset({"drift"})

    def compute(self, measured: Measurement) -> Tensor:
        """Return the log ratio."""
        return log_ratio(measured.drift_norm, measured.start_norm, 4.0)


class GradientAlignment(Signal):
    """cos(g, −Δθ): 1 where the step goes down the newest gradient, less where momentum disagrees."""

    needs: ClassVar[frozenset[Quantity]] = frozenset({"gradient", "update"})

    def compute(self, measured: Measurement) -> Tensor:
        """Return the cosine; a layer that did not move has none."""
        return measured.gradient_dot_update / (measured.gradient_norm * measured.update_norm)


class Multiplier(Signal):
    """log₁₀(multiplier) / 3, the last action; zero counts as 10⁻⁴."""

    limit: ClassVar[float] = 4.0 / 3.0

    def compute(self, measured: Measurement) -> Tensor:
        """Return the log."""
        return log_ratio(measured.multiplier, 1.0, 3.0)


class BaseLR(Signal):
    """log₁₀(base learning rate) / 4."""

    limit: ClassVar[float] = 2.0

    def compute(self, measured: Measurement) -> Tensor:
        """Return the log."""
        return log_ratio(measured.base_lr, 1.0, 4.0)


class Depth(Signal):
    """Position from the input (0) to the head (1)."""

    def compute(self, measured: Measurement) -> Tensor:
        """Return the depth."""
        return measured.depth


class Size(Signal):
    """log₁₀(number of parameters) / 8."""

    def compute(self, measured: Measurement) -> Tensor:
        """Return the log."""
        return log_ratio(measured.numel, 1.0, 8.0)


class IsHead(Signal):
    """1 for the new head, 0 for the pretrained backbone."""

    def compute(self, measured: Measurement) -> Tensor:
        """Return the flag."""
        return measured.is_head


class HasGradient(Signal):
    """1 where the layer had a finite gradient at the last step."""

    needs: ClassVar[frozenset[Quantity]] = frozenset({"gradient"})

    def compute(self, measured: Measurement) -> Tensor:
        """Return the flag."""
        return known(measured.gradient_norm)
