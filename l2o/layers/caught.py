"""Tensors that forward hooks catch while a network runs."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from torch import Tensor
from torch.utils.hooks import RemovableHandle


class Caught:
    """Base of what keeps tensors by hooks: leaving a `with` block takes them off.

    Attributes:
        maps: name -> the newest tensor; empty before the first forward pass.
    """

    def __init__(self) -> None:
        self.maps: dict[str, Tensor] = {}
        self._handles: Sequence[RemovableHandle] = ()

    def remove(self) -> None:
        """Take the hooks off the model and forget what was caught."""
        for handle in self._handles:
            handle.remove()
        self.maps.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.remove()
