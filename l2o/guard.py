"""The guard: what the controller does when training or the policy goes wrong."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from l2o.signals import Measurement

logger = logging.getLogger("l2o")


class Guard:
    """Lowers the multipliers when the loss or the gradients blow up, and keeps count of it.

    A window is bad if its loss is non-finite or above `explosion` times the first window's, or if
    a gradient, an update or the weights are non-finite. Each bad window scales all multipliers by
    `backoff`; each good one after it undoes a fifth of that, on a log scale.

    Args:
        explosion: how many times the first window's loss counts as exploding.
        backoff: factor on all multipliers per bad window, in (0, 1).
        roll_back: also restore the weights of the last good window and forget the optimizer's
            state; costs one copy of the weights.

    Raises:
        ValueError: a value out of range.

    Example:
        >>> Guard(roll_back=True).scale
        1.0
    """

    def __init__(
        self, explosion: float = 10.0, backoff: float = 0.1, roll_back: bool = False
    ) -> None:
        if not explosion > 1:
            raise ValueError(f"explosion must be above 1, got {explosion}")
        if not 0 < backoff < 1:
            raise ValueError(f"backoff must lie between 0 and 1, got {backoff}")
        self.explosion = explosion
        self.backoff = backoff
        self.roll_back = roll_back
        self.scale = 1.0
        self.counts: Counter[str] = Counter()
        self._first_loss = math.nan
        self._good: list[Tensor] = []

    def check(self, measured: Measurement) -> str | None:
        """Return what is wrong with the window, or None; adapt `scale`."""
        trouble = self._trouble(measured)
        if trouble is None:
            self.scale = min(1.0, self.scale * self.backoff**-0.2)
        else:
            self.scale *= self.backoff
            self.note(trouble)
        return trouble

    def _trouble(self, measured: Measurement) -> str | None:
        loss = float(measured.loss)
        if math.isinf(loss):
            return "the loss is not finite"
        if math.isnan(self._first_loss):
            self._first_loss = loss
        if loss > self.explosion * self._first_loss:
            return f"the loss exceeds {self.explosion:g} times its first value"
        if not torch.isfinite(measured.weight_norm).all():
            return "the weights are not finite"
        if torch.isinf(measured.gradient_norm).any():
            return "a gradient is not finite"
        return None

    def note(self, reason: str) -> None:
        """Count an intervention; log the first of its kind."""
        if not self.counts[reason]:
            logger.warning("l2o: %s; training goes on with lower or last good multipliers", reason)
        self.counts[reason] += 1

    @torch.no_grad()
    def keep_or_restore(
        self, bad: bool, parameters: Sequence[nn.Parameter], optimizer: Optimizer
    ) -> None:
        """Copy good weights aside, or put the last good ones back (only if `roll_back`)."""
        if not self.roll_back:
            return
        if not bad:
            self._good = [p.detach().clone() for p in parameters]
        elif self._good:
            for parameter, good in zip(parameters, self._good, strict=True):
                parameter.copy_(good)
                # Momentum gathered on the way out would lead straight back there.
                optimizer.state.pop(parameter, None)
            self.note("rolled back to the last good weights")

    def state_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "scale": self.scale,
            "counts": dict(self.counts),
            "first_loss": self._first_loss,
            "good": [tensor.clone() for tensor in self._good],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict()`."""
        self.scale = state["scale"]
        self.counts = Counter(state["counts"])
        self._first_loss = state["first_loss"]
        self._good = [tensor.clone() for tensor in state["good"]]
