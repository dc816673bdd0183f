"""Queues of past keys of N fine-tunes."""

from __future__ import annotations

import torch
from torch import Tensor


class KeyQueues:
    """Rings of keys, one per fine-tune; each may be filled to another degree.

    Args:
        count: N.
        size: keys that are kept.
        dim: of a key.
        dtype: of the keys.
        device: of everything.

    Attributes:
        keys: `[N, size, dim]`.
        taken: `[N]`, how many each has taken in.
    """

    def __init__(
        self, count: int, size: int, dim: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        self.keys = torch.zeros(count, size, dim, dtype=dtype, device=device)
        self.taken = torch.zeros(count, dtype=torch.int64, device=device)

    def state(self) -> list[Tensor]:
        """Return all tensors that change."""
        return [self.keys, self.taken]

    def products(self, queries: Tensor) -> Tensor:
        """Return the products of queries `[N, M, dim]` with keys `[N, M, K]`, −inf for no key."""
        size = self.keys.shape[1]
        held = self.taken.clamp_max(size)
        width, even = size, False
        if held.device.type == "cpu":
            # Elsewhere this would wait for the device.
            width, even = int(held.max()), bool(held.min() == held.max())
        products = queries.bmm(self.keys[:, :width].transpose(1, 2))
        if even:
            return products
        vacant = torch.arange(width, device=held.device) >= held[:, None]
        return products.masked_fill(vacant[:, None], -torch.inf)

    def take(self, keys: Tensor) -> None:
        """Take in keys `[N, M, dim]`, over the oldest ones where a queue is full."""
        count, size, _ = self.keys.shape
        keys = keys[:, -size:]
        new = keys.shape[1]
        steps = torch.arange(new, device=keys.device)
        first = torch.arange(count, device=keys.device) * size
        places = first[:, None] + (self.taken[:, None] + steps) % size
        rows = keys.to(self.keys.dtype).flatten(0, 1)
        self.keys.flatten(0, 1).index_copy_(0, places.flatten(), rows)
        self.taken += new
