"""What is wrong with a window of training, if anything."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from l2o.signals import Measurement


class Health:
    """Finds non-finite or exploding losses, gradients and weights.

    Relative to what the run itself has shown, since losses and norms have no scale of their own:
    the loss against the first window's, the weights against a window earlier, the gradient against
    the largest of good windows. What was not measured is not wrong.

    Args:
        explosion: how many times the first loss, or the norm of all weights one window earlier,
            counts as exploding; `math.inf` turns it off, for losses that cross zero.
        gradient_explosion: the same for the gradient's norm, which swings far more.
    """

    def __init__(self, explosion: float, gradient_explosion: float) -> None:
        self.explosion = explosion
        self.gradient_explosion = gradient_explosion
        self._first_loss = self._last_weights = self._largest_gradient = math.nan

    def trouble(self, measured: Measurement) -> str | None:
        """Return what is wrong, or None; take note of the window."""
        trouble = self._loss(float(measured.loss)) or self._weights(measured)
        return trouble or self._gradients(measured)

    def _loss(self, loss: float) -> str | None:
        if math.isinf(loss):
            return "the loss is not finite"
        if math.isnan(self._first_loss):
            self._first_loss = loss
        # For a positive first loss, the first loss times `explosion`.
        first = self._first_loss
        if first and loss > first + (self.explosion - 1) * abs(first):
            return f"the loss exceeds {self.explosion:g} times its first value"
        return None

    def _weights(self, measured: Measurement) -> str | None:
        weights = _total(measured.weight_norm)
        if math.isinf(weights):
            return "the weights are not finite"
        before = self._last_weights
        if math.isnan(before):
            before = _total(measured.start_norm)
        self._last_weights = weights
        if 0 < before * self.explosion < weights:
            return f"the weights grew more than {self.explosion:g}-fold within a window"
        return None

    def _gradients(self, measured: Measurement) -> str | None:
        gradient = _total(measured.gradient_norm)
        if math.isinf(gradient):
            return "a gradient is not finite"
        if gradient > self._largest_gradient * self.gradient_explosion:
            return f"a gradient exceeds {self.gradient_explosion:g} times the largest before"
        if gradient > 0:
            self._largest_gradient = max(gradient, _or(self._largest_gradient, gradient))
        return None

    def state_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "first_loss": self._first_loss,
            "last_weights": self._last_weights,
            "largest_gradient": self._largest_gradient,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict()`; what an older release did not keep starts anew."""
        self._first_loss = state["first_loss"]
        self._last_weights = state.get("last_weights", math.nan)
        self._largest_gradient = state.get("largest_gradient", math.nan)


def _total(norms: Tensor) -> float:
    """Return the norm over all layers that were measured, inf if one is inf, NaN if none was."""
    values = norms.tolist()
    total = math.hypot(*values)
    if not math.isnan(total):
        return total
    known = [norm for norm in values if not math.isnan(norm)]
    return math.hypot(*known) if known else math.nan


def _or(value: float, otherwise: float) -> float:
    return otherwise if math.isnan(value) else value
