"""The two copies of a decision between host and device."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class HostLink:
    """Copies one table to the device and one flat tensor back, each through pinned memory.

    Sending does not wait for the device. Fetching waits once, on an event, for all that was queued
    before; so what was sent has arrived by then, and its buffer may be written again.

    Args:
        device: the device.

    Example:
        >>> link = HostLink(torch.device("cpu"))
        >>> link.send(np.ones((2, 3))).shape
        torch.Size([2, 3])
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._pinned: dict[str, Tensor] = {}

    def send(self, table: NDArray[np.float64]) -> Tensor:
        """Return a table on the device."""
        if self.device.type != "cuda":
            return torch.from_numpy(table).to(self.device)
        pinned = self._buffer("send", table.shape, torch.float64)
        pinned.numpy()[:] = table
        return pinned.to(self.device, non_blocking=True)

    def fetch(self, flat: Tensor) -> NDArray[np.float64]:
        """Wait for a tensor and all that was queued before it; return it as float64."""
        if self.device.type != "cuda":
            return flat.cpu().numpy().astype(np.float64)
        pinned = self._buffer("fetch", flat.shape, flat.dtype)
        pinned.copy_(flat, non_blocking=True)
        arrived = torch.cuda.Event()
        arrived.record(torch.cuda.current_stream(self.device))
        arrived.synchronize()
        return pinned.numpy().astype(np.float64)

    def _buffer(self, name: str, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        kept = self._pinned.get(name)
        if kept is None or kept.shape != torch.Size(shape) or kept.dtype != dtype:
            kept = torch.empty(torch.Size(shape), dtype=dtype, pin_memory=True)
            self._pinned[name] = kept
        return kept


def split_flat(
    flat: NDArray[np.float64], shapes: Sequence[Sequence[int]]
) -> list[NDArray[np.float64]]:
    """Return the parts of a flat array in their shapes.

    Example:
        >>> [part.shape for part in split_flat(np.zeros(8), [(2, 3), (2,)])]
        [(2, 3), (2,)]
    """
    ends = np.cumsum([math.prod(shape) for shape in shapes])[:-1]
    parts = np.split(flat, ends)
    return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]
