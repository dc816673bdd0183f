"""Replaying a training step as a CUDA graph: one launch instead of some hundred."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

_WARM_UP = 3


class GraphedStep:
    """A step captured once and replayed with other rows of the training data.

    All that a step reads and writes must be tensors that stay where they are, as a chunk's are.

    Args:
        step: takes rows `[B, N]`, changes tensors in place, never waits for the device.
        rows: an example.

    Raises:
        RuntimeError: the step cannot be captured, or the rows are not on a CUDA device.
    """

    def __init__(self, step: Callable[[Tensor], None], rows: Tensor) -> None:
        if rows.device.type != "cuda":
            raise RuntimeError(f"only steps on CUDA can be captured, not on {rows.device}")
        self._rows = rows.clone()
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UP):
                step(self._rows)
        torch.cuda.current_stream().wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            step(self._rows)

    def __call__(self, rows: Tensor) -> None:
        """Take a step on these rows."""
        self._rows.copy_(rows)
        self._graph.replay()
