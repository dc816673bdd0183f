"""A CUDA graph's stand-in on the host: operations are noted once, then done again as they were.

As with a real graph nothing of Python runs again: a number that Python read, a tensor that moved or
a branch that should have gone the other way gives the old result.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Tape(TorchDispatchMode):
    """Notes operations while active; `replay` does them again on the same tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[tuple[Any, Any, Any, Any]] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        self.operations.append((func, args, kwargs or {}, result))
        return result

    @torch.no_grad()
    def replay(self) -> None:
        for func, args, kwargs, noted in self.operations:
            again = func(*args, **kwargs)
            for old, new in zip(tree_leaves(noted), tree_leaves(again), strict=True):
                if isinstance(old, torch.Tensor) and old.data_ptr() != new.data_ptr():
                    old.copy_(new)


class TapedGraph:
    """Takes the place of `l2o.envs.stacked.graph.Graph`."""

    def __init__(self, compute, inputs, shared) -> None:
        self._inputs = [tensor.clone() for tensor in inputs]
        compute(*self._inputs)
        self._tape = Tape()
        with self._tape:
            compute(*self._inputs)

    def __call__(self, *inputs) -> None:
        for static, new in zip(self._inputs, inputs, strict=True):
            static.copy_(new)
        self._tape.replay()
