"""Mean of a quantity over the steps between two decisions, without a host sync per step."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

from l2o.signals import MISSING


def as_scalar(name: str, value: Any) -> Tensor | float:
    """Return a loss as one number: a scalar on its device, without its graph, or a float.

    A loss per example, of any number of examples, counts as its mean.

    Args:
        name: what the user calls it, for errors.
        value: a floating-point tensor or array of any shape, or a number.

    Raises:
        TypeError: no number, or one that is not real: integer and bool tensors are counts and
            masks, no losses.
        ValueError: a tensor without elements.

    Example:
        >>> as_scalar("loss", torch.tensor([1.0, 3.0]))
        tensor(2.)
        >>> as_scalar("loss", torch.tensor([1, 3]))
        Traceback (most recent call last):
        TypeError: loss must be floating-point, got torch.int64 of shape (2,); pass the loss ...
    """
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiucb":
        value = torch.from_numpy(value)
    if not isinstance(value, Tensor):
        if isinstance(value, Real) and not isinstance(value, bool | np.bool_):
            return float(value)
        raise TypeError(
            f"{name} must be a floating-point tensor or a number, got {value!r:.100}; "
            "pass the loss itself, a scalar or one value per example"
        )
    if not value.dtype.is_floating_point:
        raise TypeError(
            f"{name} must be floating-point, got {value.dtype} of shape {tuple(value.shape)}; "
            "pass the loss itself, a scalar or one value per example"
        )
    scalar = value.detach().float()
    if scalar.dim() == 0:
        return scalar
    if scalar.numel() == 0:
        raise ValueError(
            f"{name} has no elements, got shape {tuple(value.shape)}; leave it out at steps that "
            "have none"
        )
    return scalar.mean()


class WindowMean:
    """Running mean that stays on the device of what is added, until the window closes.

    Args:
        name: of the quantity, for errors.

    Example:
        >>> window = WindowMean()
        >>> window.add(1.0); window.add(torch.tensor([2.0, 4.0])); window.close()
        (2.0, nan)
    """

    def __init__(self, name: str = "loss") -> None:
        self.name = name
        self._sum: Tensor | None = None
        self._count = 0
        self._previous = MISSING

    def add(self, value: Tensor | float) -> None:
        """Add one step's value: a scalar, or one value per example, of which the mean counts.

        Raises:
            TypeError, ValueError: as `as_scalar`; then nothing is added.
        """
        scalar = as_scalar(self.name, value)
        if not isinstance(scalar, Tensor):
            # Its type and place said: a default dtype or device is the user's.
            scalar = torch.tensor(scalar, dtype=torch.float32, device="cpu")
        self._sum = scalar.clone() if self._sum is None else self._sum + scalar
        self._count += 1

    @property
    def sum(self) -> Tensor | None:
        """What was added so far, on its device; None if nothing was."""
        return self._sum

    @property
    def closed_last(self) -> float:
        """The mean of the window that was closed last, NaN for none."""
        return self._previous

    def look(self, total: float | None = None) -> tuple[float, float]:
        """Return the mean so far and that of the window before it.

        NaN means that nothing was added, inf that something non-finite was.

        Args:
            total: the value of `sum`, if it is already on the host.
        """
        if self._sum is None:
            return MISSING, self._previous
        mean = (float(self._sum) if total is None else total) / self._count
        return (mean if math.isfinite(mean) else math.inf), self._previous

    def close(self, total: float | None = None) -> tuple[float, float]:
        """Return the same as `look`, and begin the next window."""
        pair = self.look(total)
        self._sum, self._count, self._previous = None, 0, pair[0]
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
