"""Counting the steps that fused optimizers skip, without a host sync per step."""

from __future__ import annotations

import torch
from torch import Tensor


class Skips:
    """Steps skipped under a `GradScaler`, counted where the mark lies until they are asked for.

    Example:
        >>> skips = Skips()
        >>> skips.add(torch.tensor(1.0)); skips.add(torch.tensor(0.0)); skips.add(torch.tensor(2.0))
        >>> skips.take(), skips.take()
        (2, 0)
    """

    def __init__(self) -> None:
        self._count: Tensor | None = None

    def add(self, found_inf: Tensor) -> None:
        """Count a step; it was skipped if `found_inf` is not zero."""
        skipped = torch.as_tensor(found_inf).detach() != 0
        self._count = skipped.long() if self._count is None else self._count + skipped

    def take(self) -> int:
        """Return how many since last asked."""
        count = 0 if self._count is None else int(self._count)
        self._count = None
        return count
