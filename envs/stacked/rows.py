"""Reading a pool of examples."""

from __future__ import annotations

from torch import Tensor


def take_rows(pool: Tensor, rows: Tensor) -> Tensor:
    """Return rows of a pool in the shape of their index, `[*rows.shape, ...]`.

    Example:
        >>> pool = torch.tensor([[0.0, 1.0], [2.0, 3.0]])
        >>> take_rows(pool, torch.tensor([[1, 0, 0]])).shape
        torch.Size([1, 3, 2])
    """
    return pool.index_select(0, rows.flatten()).unflatten(0, rows.shape)
