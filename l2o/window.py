"""Mean of a quantity over the steps between two decisions, without a host sync per step."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from l2o.signals import MISSING


class WindowMean:
    """Running mean that stays on the device of what is added, until the window closes.

    Example:
        >>> window = WindowMean()
        >>> window.add(1.0); window.add(torch.tensor(3.0)); window.close()
        (2.0, nan)
    """

    def __init__(self) -> None:
        self._sum: Tensor | None = None
        self._count = 0
        self._previous = MISSING

    def add(self, value: Tensor | float) -> None:
        """Add one step's value (a scalar)."""
        detached = torch.as_tensor(value).detach().float()
        self._sum = detached.clone() if self._sum is None else self._sum + detached
        self._count += 1

    @property
    def sum(self) -> Tensor | None:
        """What was added so far, on its device; None if nothing was."""
        return self._sum

    def close(self, total: float | None = None) -> tuple[float, float]:
        """Return this window's mean and the one before it; begin the next.

        NaN means that nothing was added, inf that something non-finite was.

        Args:
            total: the value of `sum`, if it is already on the host.
        """
        if self._sum is None:
            mean = MISSING
        else:
            mean = (float(self._sum) if total is None else total) / self._count
        if self._count and not math.isfinite(mean):
            mean = math.inf
        pair = (mean, self._previous)
        self._sum, self._count, self._previous = None, 0, mean
        return pair

    def close_with(self, mean: float) -> None:
        """Take this for the mean of the window that was closed last."""
        self._previous = mean

    def state_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        total = None if self._sum is None else self._sum.clone()
        return {"sum": total, "count": self._count, "previous": self._previous}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict()`."""
        self._sum = None if state["sum"] is None else state["sum"].clone()
        self._count = state["count"]
        self._previous = state["previous"]
