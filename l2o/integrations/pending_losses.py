"""Losses that were backpropagated, until an optimizer steps on them."""

from __future__ import annotations

from torch import Tensor


class PendingLosses:
    """Gives each step the mean of the losses that led to it; keeps one number, however many wait.

    Several optimizers may step on the same losses: within a batch, what the first is told, each
    other one is told as well, unless losses of its own came in between.

    Example:
        >>> import torch
        >>> losses = PendingLosses()
        >>> losses.add(torch.tensor(1.0)); losses.add(torch.tensor(3.0))
        >>> losses.take("first"), losses.take("second"), losses.take("first")
        (tensor(2.), tensor(2.), None)
    """

    def __init__(self) -> None:
        self._sum: Tensor | None = None
        self._count = 0
        self._shown: Tensor | None = None
        self._told: set[object] = set()

    def add(self, loss: Tensor) -> None:
        """Add a loss, a scalar."""
        self._sum = loss if self._sum is None else self._sum + loss
        self._count += 1

    def take(self, who: object) -> Tensor | None:
        """Return the mean that this step is of, None if there is no loss that it was not told."""
        if self._sum is not None:
            self._shown, self._told = self._sum / self._count, set()
            self._sum, self._count = None, 0
        if self._shown is None or who in self._told:
            return None
        self._told.add(who)
        return self._shown

    def begin_batch(self) -> None:
        """Forget what steps of earlier batches were told; losses that wait go on waiting."""
        self._shown = None
