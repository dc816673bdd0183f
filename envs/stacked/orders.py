"""What the host tells the device for one decision: one row per fine-tune, one copy for all."""

from __future__ import annotations

from typing import Any

import numpy as np

_COLUMNS = ("base_lr", "begun", "count", "whole", "progress", "steps_left", "begins")


class Orders:
    """Named columns of a table `[rows, 7 + layers]` of float64, an array or a tensor.

    Attributes:
        base_lr: base learning rate.
        begun: optimizer steps done before the decision.
        count: steps to take now; 0 holds still.
        whole: 1 where these are a whole decision window, which is measured at its end.
        progress: share of the fine-tune that is done afterwards.
        steps_left: steps that are left afterwards.
        begins: 1 where a fine-tune begins anew.
        multipliers: `[rows, layers]`, of guidance terms after those of a network's layers.

    Example:
        >>> orders = Orders.empty(rows=2, layers=3)
        >>> orders.base_lr[:] = 0.1
        >>> orders.table[0].tolist()
        [0.1, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    """

    def __init__(self, table: Any) -> None:
        self.table = table
        columns = [table[:, column] for column in range(len(_COLUMNS))]
        self.base_lr, self.begun, self.count, self.whole = columns[:4]
        self.progress, self.steps_left, self.begins = columns[4:]
        self.multipliers = table[:, len(_COLUMNS) :]

    @classmethod
    def empty(cls, rows: int, layers: int) -> Orders:
        """Return orders of zeros, on the host."""
        return cls(np.zeros((rows, len(_COLUMNS) + layers)))
