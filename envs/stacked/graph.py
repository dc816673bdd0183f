"""Replaying computations as CUDA graphs: one launch instead of some thousand."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

import torch
from torch import Tensor

Compute = Callable[..., None]


class Graphs:
    """Runs computations; on CUDA it captures each once and replays it with other inputs.

    All that a computation reads and writes must be tensors that stay where they are, its inputs
    are copied to such, and it must never wait for the device. What it changes must have been
    allocated before: graphs share their scratch memory. Where capturing fails, the computation
    runs as it is from then on.

    Args:
        device: elsewhere than on CUDA nothing is captured.
        state: tensors that computations change; capturing leaves them as they are.
        shared: scratch memory to share with other graphs of this device.

    Attributes:
        reasons: key -> why it could not be captured.

    Example:
        >>> total = torch.zeros(3)
        >>> graphs = Graphs(torch.device("cpu"), lambda: [total])
        >>> graphs.run("add", total.add_, torch.ones(3)); total
        tensor([1., 1., 1.])
    """

    def __init__(
        self,
        device: torch.device,
        state: Callable[[], Sequence[Tensor]],
        shared: SharedMemory | None = None,
    ) -> None:
        self.device = device
        self.capturing = device.type == "cuda"
        self.reasons: dict[Hashable, str] = {}
        self._state = state
        self._shared = shared
        self._graphs: dict[Hashable, Graph] = {}

    def __contains__(self, key: Hashable) -> bool:
        return key in self._graphs

    def run(self, key: Hashable, compute: Compute, *inputs: Tensor) -> None:
        """Compute, by a replay where there is one.

        Args:
            key: the same for the same computation on inputs of the same shapes.
            compute: what to do; its result is dropped.
            inputs: on the device.
        """
        if self.capturing and key not in self._graphs and key not in self.reasons:
            self._capture(key, compute, inputs)
        if key in self._graphs:
            self._graphs[key](*inputs)
        else:
            compute(*inputs)

    def drop(self, *keys: Hashable) -> None:
        """Forget computations, whose tensors have moved."""
        for key in keys:
            self._graphs.pop(key, None)
            self.reasons.pop(key, None)

    def _capture(self, key: Hashable, compute: Compute, inputs: Sequence[Tensor]) -> None:
        """Capture; warming up computes, so what that has changed is put back."""
        if self._shared is None:
            self._shared = SharedMemory(self.device)
        before = [tensor.clone() for tensor in self._state()]
        try:
            self._graphs[key] = Graph(compute, inputs, self._shared)
        except RuntimeError as error:  # CUDA's own errors, also of memory, are RuntimeErrors
            self.reasons[key] = f"{type(error).__name__}: {error}"
        finally:
            with torch.no_grad():
                for tensor, copy in zip(self._state(), before, strict=True):
                    tensor.copy_(copy)


class SharedMemory:
    """Scratch memory of graphs that never run at the same time, and the stream that captures.

    Args:
        device: a CUDA device.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        with torch.cuda.device(device):
            self.pool = torch.cuda.graph_pool_handle()
            self.stream = torch.cuda.Stream(device)


class Graph:
    """One captured computation.

    Args:
        compute: see `Graphs`.
        inputs: examples of its inputs.
        shared: scratch memory.

    Raises:
        RuntimeError: it cannot be captured; the current stream is as before.
    """

    def __init__(self, compute: Compute, inputs: Sequence[Tensor], shared: SharedMemory) -> None:
        self._inputs = [tensor.clone() for tensor in inputs]
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.device(shared.device):
            current = torch.cuda.current_stream()
            shared.stream.wait_stream(current)
            try:
                # What libraries allocate at their first use must not fall into the capture.
                with torch.cuda.stream(shared.stream):
                    compute(*self._inputs)
                current.wait_stream(shared.stream)
                with torch.cuda.graph(self._graph, pool=shared.pool, stream=shared.stream):
                    compute(*self._inputs)
            finally:
                # A capture that fails leaves its own stream as the current one.
                torch.cuda.set_stream(current)
                current.wait_stream(shared.stream)

    def __call__(self, *inputs: Tensor) -> None:
        """Compute with these inputs."""
        for static, new in zip(self._inputs, inputs, strict=True):
            static.copy_(new)
        self._graph.replay()
