"""What the layer group is: signals that do not change while training."""

from __future__ import annotations

from torch import Tensor

from l2o.signals.base import Measurement, Signal, log_ratio


class Present(Signal):
    """1 for a layer, 0 for padding: networks of different depth share one observation shape."""

    def compute(self, measured: Measurement) -> Tensor:
        """Return the mask."""
        return measured.present


class IsHead(Signal):
    """1 for the new head, 0 for the pretrained backbone."""

    def compute(self, measured: Measurement) -> Tensor:
        """Return the flag."""
        return measured.is_head


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
