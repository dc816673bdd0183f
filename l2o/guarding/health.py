"""What is wrong with a window of training, if anything."""

from __future__ import annotations

import math
from collections import deque
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from l2o.signals import Measurement
from l2o.signals.table import ROW, rows_on_host

Table = NDArray[np.float32]

LEAST_LOSS = 1e-2
"""Losses below have no scale of their own: one that begins at zero may grow a thousandfold."""
RECENT = 5
"""Good windows whose median loss is where the run stands."""


class Health:
    """Finds non-finite or exploding losses, gradients and weights.

    Relative to what the run itself has shown, since losses and norms have no scale of their own:
    the loss against those of good windows, the weights against a window earlier, the gradient
    against the largest of good windows. What was not measured is not wrong.

        exploding:  loss > m + (explosion − 1) · max(s, LEAST_LOSS)

    m is the median of the newest good windows, s the largest absolute loss of good ones so far: a
    loss that rises step by step, from zero or below, takes its scale along. Under a policy that
    may exceed the user's own rates a loss that only multiplied is as telling: `harm` holds it to
    where the run began and where it stood last.

    Args:
        explosion: how many times the losses so far, or the norm of all weights one window earlier,
            counts as exploding; `math.inf` turns it off, for losses that cross zero.
        gradient_explosion: the same for the gradient's norm, which swings far more.
        harm: how many times the first loss, and the newest good ones, a policy may make the loss.
    """

    def __init__(self, explosion: float, gradient_explosion: float, harm: float = math.inf) -> None:
        self.explosion = explosion
        self.gradient_explosion = gradient_explosion
        self.harm = harm
        self._first_loss = self._last_weights = self._largest_gradient = math.nan
        self._largest_loss = 0.0
        self._recent: deque[float] = deque(maxlen=RECENT)

    def trouble(self, measured: Measurement) -> str | None:
        """Return what is wrong, or None; take note of the window."""
        table = rows_on_host(measured)
        loss = float(table[ROW["loss"], 0])
        trouble = self._loss(loss) or self._weights(table) or self._gradients(table)
        if trouble is None and not math.isnan(loss):
            self._recent.append(loss)
            self._largest_loss = max(self._largest_loss, abs(loss))
        return trouble

    def _loss(self, loss: float) -> str | None:
        if math.isinf(loss):
            return "the loss is not finite"
        if math.isnan(loss):
            return None
        if math.isnan(self._first_loss):
            self._first_loss = loss
        if not self._recent:
            return None
        stands, scale = median(self._recent), max(self._largest_loss, LEAST_LOSS)
        if self._largest_loss and loss > stands + (self.explosion - 1) * scale:
            return f"the loss exceeds {self.explosion:g} times its first value"
        began = max(self._first_loss, stands)
        if began > LEAST_LOSS and loss > self.harm * began:
            return f"the loss exceeds {self.harm:g} times that of the run so far"
        return None

    def _weights(self, table: Table) -> str | None:
        weights = _total(table[ROW["weight_norm"]])
        if math.isinf(weights):
            return "the weights are not finite"
        before = self._last_weights
        if math.isnan(before):
            before = _total(table[ROW["start_norm"]])
        self._last_weights = weights
        if 0 < before * self.explosion < weights:
            return f"the weights grew more than {self.explosion:g}-fold within a window"
        return None

    def _gradients(self, table: Table) -> str | None:
        gradient = _total(table[ROW["gradient_norm"]])
        if math.isinf(gradient):
            return "a gradient is not finite"
        if gradient > self._largest_gradient * self.gradient_explosion:
            return f"a gradient exceeds {self.gradient_explosion:g} times the largest before"
        if gradient > 0:
            self._largest_gradient = max(gradient, _or(self._largest_gradient, gradient))
        return None

    def begin_anew(self) -> None:
        """Forget the norm of the weights: others are back."""
        self._last_weights = math.nan

    def state_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "first_loss": self._first_loss,
            "last_weights": self._last_weights,
            "largest_gradient": self._largest_gradient,
            "largest_loss": self._largest_loss,
            "recent_losses": list(self._recent),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict()`; what an older release did not keep starts anew."""
        self._first_loss = state["first_loss"]
        self._last_weights = state.get("last_weights", math.nan)
        self._largest_gradient = state.get("largest_gradient", math.nan)
        first = [] if math.isnan(self._first_loss) else [self._first_loss]
        self._largest_loss = state.get("largest_loss", max(map(abs, first), default=0.0))
        self._recent = deque(state.get("recent_losses", first), maxlen=RECENT)


def _total(norms: Table) -> float:
    """Return the norm over all layers that were measured, inf if one is inf, NaN if none was."""
    values = norms.tolist()
    total = math.hypot(*values)
    if not math.isnan(total):
        return total
    known = [norm for norm in values if not math.isnan(norm)]
    return math.hypot(*known) if known else math.nan


def _or(value: float, otherwise: float) -> float:
    return otherwise if math.isnan(value) else value
