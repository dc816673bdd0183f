"""How often a training step makes the host wait for the device."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

_READS = ("aten._local_scalar_dense", "aten.nonzero", "aten.equal")


class HostReads(TorchDispatchMode):
    """Counts operations that make the host wait for a device: values read, copies between devices.

    On a CPU the very same operations are counted, so what is zero there is zero on a GPU.

    Example:
        >>> with HostReads() as reads:
        ...     _ = torch.ones(()).add(1).item()
        >>> reads.counts
        {'aten._local_scalar_dense': 1}
    """

    def __init__(self) -> None:
        super().__init__()
        self.counts: dict[str, int] = {}

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.counts.values())

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        name = str(func.overloadpacket)
        tensors = [t for t in (*args[:2], result) if isinstance(t, torch.Tensor)]
        crossing = name in ("aten._to_copy", "aten.copy_") and len({t.device for t in tensors}) > 1
        if name in _READS or crossing:
            self.counts[name] = self.counts.get(name, 0) + 1
        return result


def cuda_syncs(run: Callable[[], object]) -> int:
    """Return how often CUDA made the host wait while something ran, as torch itself reports it."""
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            run()
    finally:
        torch.cuda.set_sync_debug_mode(before)
    return sum("synchroniz" in str(warning.message).lower() for warning in caught)
