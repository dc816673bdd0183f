"""Batches of N networks, gathered with the images innermost in memory."""

from __future__ import annotations

import torch
from torch import Tensor

from l2o.envs.stacked.kernels.library import kernel


def gather_images(pool: Tensor, rows: Tensor) -> Tensor:
    """Return images `[B, N·C, H, W]` of a pool `[M, C, H, W]`, B innermost in memory.

    Args:
        pool: float32 or float64.
        rows: int64 `[B, N]`.

    Raises:
        IndexError: a row lies outside the pool.
    """
    if rows.numel() and (int(rows.min()) < 0 or int(rows.max()) >= len(pool)):
        raise IndexError(f"rows must lie in 0..{len(pool) - 1}")
    (batch, networks), size, pool = rows.shape, pool.shape[1:], pool.contiguous()
    out = pool.new_empty(networks * size[0], *size[1:], batch)
    rows = rows.to(torch.int64).contiguous()
    kernel("gather", pool.dtype)(
        pool.data_ptr(), rows.data_ptr(), out.data_ptr(), networks, batch, size.numel()
    )
    return out.movedim(-1, 0)
