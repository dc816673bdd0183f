"""Which elements of large tensors are read: fixed ones, the same in every process and run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

RUN = 4
"""Elements read side by side. Neighbours are alike, so runs are short: with a run in every few
hundred elements, nearly every row of an embedding or of a weight matrix is looked at."""


@dataclass(frozen=True)
class Budget:
    """How many elements of a model are read.

    Attributes:
        whole: models of up to so many elements are read whole.
        share: of a larger model's elements, so many are read,
        least: but at least so many in total,
        floor: of each tensor at least so many,
        most: and of each at most so many.
    """

    whole: int = 1 << 20
    share: float = 0.005
    least: int = 1 << 17
    floor: int = 1 << 10
    most: int = 1 << 17

    def counts(self, sizes: Sequence[int]) -> list[int]:
        """Return how many elements to read of tensors of these sizes.

        Each has its floor; what is left is shared out by size, since sums over a layer are over
        all of its tensors.

        Example:
            >>> Budget().counts([1000, 500_000])
            [1000, 500000]
            >>> Budget().counts([1000, 4_000_000])
            [1000, 130072]
        """
        total = sum(sizes)
        if total <= self.whole:
            return list(sizes)
        floors = [min(size, self.floor) for size in sizes]
        left = max(self.least, int(self.share * total)) - sum(floors)
        share = max(left, 0) / max(total - sum(floors), 1)
        counts = (int(low + share * (size - low)) for low, size in zip(floors, sizes, strict=True))
        return [min(c, max(self.most, self.floor)) for c in counts]


BUDGET = Budget()
"""The budget of every controller."""


class Sample:
    """Elements of a tensor: a run in each of equally long stretches, at a place drawn for it.

    Each run is read with equal probability, so that a sum over the sample times `scale` estimates
    the sum over the tensor without bias. The draw depends on the two sizes alone. Up to RUN − 1
    elements at a tensor's end are never read.

    Args:
        like: the tensor, by whose layout in memory its elements are counted.
        count: how many elements.

    Example:
        >>> sample = Sample(torch.ones(1000, 10), 400)
        >>> taken = sample.take(torch.full((1000, 10), 2.0))
        >>> taken.shape, float(taken.sum()) * sample.scale
        (torch.Size([400]), 20000.0)
    """

    def __init__(self, like: Tensor, count: int) -> None:
        strides = like.stride()
        self._order = sorted(range(like.dim()), key=lambda d: -strides[d])
        self._plain = self._order == list(range(like.dim()))
        self._size = like.numel()
        self._runs = self._size // RUN
        self._rows = _rows(self._runs, max(count // RUN, 1)).to(like.device)
        self.count = len(self._rows) * RUN
        self.scale = self._size / self.count

    def share(self, others: dict[tuple[int, int, torch.device], Tensor]) -> None:
        """Hold the places of the run in common with other samples of tensors of this size."""
        key = (self._runs, self.count, self._rows.device)
        self._rows = others.setdefault(key, self._rows)

    def take(self, tensor: Tensor) -> Tensor:
        """Return the sample of a dense tensor `[count]`, in memory of its own.

        Raises:
            ValueError: it has another number of elements.
        """
        if tensor.numel() != self._size:
            raise ValueError(
                f"a tensor of {self._size} elements now has {tensor.numel()}: its data was "
                "replaced; attach the controller after the model has its final shapes"
            )
        rows = self._rows
        if rows.device != tensor.device:
            # Memory on one device: a model is moved once, if at all.
            rows = self._rows = rows.to(tensor.device)
        laid = tensor if self._plain else tensor.permute(self._order)
        # Nothing is copied but where a gradient lies otherwise than its weights.
        flat = laid.contiguous().view(-1)
        return flat[: self._runs * RUN].view(-1, RUN).index_select(0, rows).view(-1)

    def take_sparse(self, tensor: Tensor) -> Tensor | None:
        """Return the sample of a sparse tensor of whole rows, as embeddings have gradients.

        It is never made dense. None where rows are not what is sparse, or lie otherwise in memory.
        """
        if tensor.layout is not torch.sparse_coo or tensor.sparse_dim() != 1 or not self._plain:
            return None
        if tensor.numel() != self._size:
            return None
        tensor = tensor.coalesce()
        held, values = tensor.indices()[0], tensor.values().reshape(-1)
        if len(held) == 0:
            return values.new_zeros(self.count)
        width = self._size // tensor.shape[0]
        run = torch.arange(RUN, dtype=torch.long, device=held.device)
        places = (self._rows.to(held.device)[:, None] * RUN + run).view(-1)
        rows = places // width
        found = torch.searchsorted(held, rows).clamp_max_(len(held) - 1)
        taken = values[found * width + places % width]
        return torch.where(held[found] == rows, taken, taken.new_zeros(()))


def _rows(runs: int, count: int) -> Tensor:
    """Return `count` of so many runs, rising: floor((k + u) · runs / count), u uniform."""
    place = (np.arange(count) + _uniform(runs, count)) * (runs / count)
    return torch.from_numpy(np.minimum(place.astype(np.int64), runs - 1))


def _uniform(seed: int, count: int) -> NDArray[np.float64]:
    """Return numbers in [0, 1) that no release of any library changes.

    Source: SplitMix64, Steele et al., Fast splittable pseudorandom number generators, OOPSLA 2014.
    """
    with np.errstate(over="ignore"):
        state = np.arange(1, count + 1, dtype=np.uint64) + np.uint64(seed)
        state *= np.uint64(0x9E3779B97F4A7C15)
        state ^= state >> np.uint64(30)
        state *= np.uint64(0xBF58476D1CE4E5B9)
        state ^= state >> np.uint64(27)
        state *= np.uint64(0x94D049BB133111EB)
        state ^= state >> np.uint64(31)
    return (state >> np.uint64(11)).astype(np.float64) * 2.0**-53
