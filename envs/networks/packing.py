"""Several feature maps as one tensor, so that a network's features are one whatever it has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Packing:
    """Lays feature maps, each of half the size of the one before, over one another.

    Every pixel of a smaller map stands as a square of equal ones on the grid of the first map, and
    channels are put one after another. Unpacking takes the first pixel of each square: exact.

    Attributes:
        channels: of each map, the largest map first.
        halvings: of each map, how often its height and width are half the first one's.
        up: whether halves are rounded up, as by padded convolutions, or down, as by pooling.
    """

    channels: tuple[int, ...]
    halvings: tuple[int, ...]
    up: bool

    def pack(self, maps: Sequence[Tensor]) -> Tensor:
        """Return maps `[N, C_i, h_i, w_i]` as one `[N, sum of C_i, h_0, w_0]`."""
        height, width = maps[0].shape[-2:]
        laid = []
        for each, halvings in zip(maps, self.halvings, strict=True):
            times = 2**halvings
            spread = each.repeat_interleave(times, -2).repeat_interleave(times, -1)
            spread = spread[..., :height, :width]
            missing = (0, width - spread.shape[-1], 0, height - spread.shape[-2])
            laid.append(torch.nn.functional.pad(spread, missing) if any(missing) else spread)
        return torch.cat(laid, dim=1)

    def unpack(self, packed: Tensor) -> list[Tensor]:
        """Return the maps that were packed, to the bit."""
        height, width = packed.shape[-2:]
        maps = []
        parts = packed.split(self.channels, dim=1)
        for each, halvings in zip(parts, self.halvings, strict=True):
            times = 2**halvings
            rows, columns = self._halved(height, halvings), self._halved(width, halvings)
            maps.append(each[..., : rows * times : times, : columns * times : times])
        return maps

    def _halved(self, length: int, times: int) -> int:
        for _ in range(times):
            length = (length + self.up) // 2
        return length
