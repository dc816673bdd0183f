"""What is read of each tensor that is watched: all of it, this process' piece, or a sample."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from l2o.measuring import sampling
from l2o.measuring.sampling import Budget, Sample
from l2o.tensors import real_and_dense

Piece = Callable[[Tensor], Tensor]
"""What a process reads of a tensor that is spread over several."""
Held = TypeVar("Held", Tensor, Tensor | None)
_PLAIN = (torch.Tensor, torch.nn.Parameter)


class Views:
    """Gives, of parameters and of what has their shapes, what is read of them.

    Args:
        parameters: what is watched.
        piece: of a tensor that is spread over processes; None: all of it.
        budget: how much is read; None: `l2o.measuring.sampling.BUDGET`.
    """

    def __init__(
        self, parameters: Sequence[Tensor], piece: Piece | None, budget: Budget | None = None
    ) -> None:
        self._piece = piece
        self._dtype = parameters[0].dtype
        wholes = [self.whole(p) for p in parameters]
        self.shapes = [tuple(whole.shape) for whole in wholes]
        self._as_they_are = piece is None and self.shapes == [p.shape for p in parameters]
        sizes = [whole.numel() for whole in wholes]
        counts = (budget or sampling.BUDGET).counts(sizes)
        self.samples: list[Sample | None] = [
            Sample(whole, count) if count < size and size >= 2 * sampling.RUN else None
            for whole, size, count in zip(wholes, sizes, counts, strict=True)
        ]
        self._settle()

    def _settle(self) -> None:
        self.sampled = [i for i, sample in enumerate(self.samples) if sample is not None]
        self.scales = np.array([1.0 if s is None else s.scale for s in self.samples])
        common: dict[tuple[int, int, torch.device], Tensor] = {}
        for sample in self.samples:
            if sample is not None:
                sample.share(common)

    def replace(self, samples: dict[int, Sample]) -> None:
        """Read these samples of these tensors from now on."""
        for index, sample in samples.items():
            self.samples[index] = sample
        self._settle()

    def fit(self, parameters: Sequence[Tensor]) -> bool:
        """Return whether parameters have the shapes that they had."""
        if self._as_they_are and not any(map(Tensor.is_complex, parameters)):
            # The same for less: it is asked at every decision.
            return [p.shape for p in parameters] == self.shapes
        return [tuple(self.whole(p).shape) for p in parameters] == self.shapes

    def whole(self, tensor: Tensor) -> Tensor:
        """Return this process' piece of a tensor, real and dense."""
        if self._piece is None and type(tensor) in _PLAIN and _is_dense(tensor):
            return tensor
        detached = tensor.detach()
        return real_and_dense(detached if self._piece is None else self._piece(detached))

    def of(self, tensors: Sequence[Held]) -> tuple[list[Held], bool]:
        """Return what is read of tensors that go with the parameters; None where there is none.

        And whether all of that is plain, contiguous and of the first parameter's type, on the CPU.
        """
        if not self.sampled and self._plain(tensors):
            return list(tensors), True
        found = [
            None if t is None else self.whole(t) if sample is None else self._sample(sample, t)
            for t, sample in zip(tensors, self.samples, strict=True)
        ]
        return found, self._plain(found)

    def _sample(self, sample: Sample, tensor: Tensor) -> Tensor:
        if self._piece is None and not tensor.is_complex():
            taken = sample.take_sparse(tensor.detach())
            if taken is not None:
                return taken
        return sample.take(self.whole(tensor))

    def own(self, views: Sequence[Tensor]) -> list[Tensor]:
        """Return views as tensors in memory of their own, as samples are already."""
        return [
            view.clone() if sample is None else view
            for view, sample in zip(views, self.samples, strict=True)
        ]

    def _plain(self, tensors: Sequence[Tensor | None]) -> bool:
        dtype, strided = self._dtype, torch.strided
        if self._piece is not None or dtype not in (torch.float32, torch.float64):
            return False
        for t in tensors:
            if t is not None and not (
                type(t) in _PLAIN
                and t.is_cpu
                and t.dtype is dtype
                and t.layout is strided
                and t.is_contiguous()
            ):
                return False
        return True


def _is_dense(tensor: Tensor) -> bool:
    return tensor.layout is torch.strided and not tensor.is_complex()
