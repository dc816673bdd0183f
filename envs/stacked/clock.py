"""Where a device's time goes, without waiting for it in between."""

from __future__ import annotations

import time
from typing import Any

import torch


class DeviceClock:
    """Marks on the device's own time line, read at the end.

    Args:
        device: on CUDA the marks are events, elsewhere moments of the host.

    Example:
        >>> clock = DeviceClock(torch.device("cpu"))
        >>> clock.mark("stepping"); clock.mark("evaluating"); clock.mark("")
        >>> list(clock.read())
        ['stepping', 'evaluating']
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._marks: list[tuple[str, Any]] = []

    def mark(self, what: str) -> None:
        """Say what begins here."""
        if self.device.type != "cuda":
            self._marks.append((what, time.perf_counter()))
            return
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self.device))
        self._marks.append((what, event))

    def read(self) -> dict[str, float]:
        """Wait for the last mark; return seconds by what began at the others, and forget all."""
        spent: dict[str, float] = {}
        if self.device.type == "cuda" and self._marks:
            self._marks[-1][1].synchronize()
        for (what, begun), (_, ended) in zip(self._marks, self._marks[1:]):
            on_device = self.device.type == "cuda"
            seconds = begun.elapsed_time(ended) / 1e3 if on_device else ended - begun
            spent[what] = spent.get(what, 0.0) + seconds
        self._marks.clear()
        return spent
