"""Batches of several sources, whose shares are fixed, scheduled or learned."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from l2o.checks import check_number
from l2o.guidance.weight import ScheduledWeight, as_weight
from l2o.registry import unknown_name

LEARNED = "learned"
Weights = Mapping[str, Any] | Literal["learned"]


class SourceMix:
    """Draws batches of which each source has its share, and each of its images its turn.

        n_i = share_i · B, in whole images; what is cut off is carried over to the next batch

    Each source is read in an order of its own, a new permutation whenever it is through, so that a
    small source may come round often. Shares are weights over their sum; a weight may be a schedule
    of progress. Learned shares follow the losses, so that what is fitted worst is read most:

        share_i ∝ share_i · exp(step · mean loss of source i),   then at least `least` each

    Source: Sagawa et al., Distributionally Robust Neural Networks, ICLR 2020 (group DRO), there as
    weights of losses; as shares of batches they have the same expectation.

    Args:
        source_of: of each example the number of its source `[N]`.
        names: of the sources.
        weights: by name, a number or a schedule of it (see `l2o.guidance.weight`), those left out
            have 0; or "learned".
        batch_size: examples of a batch.
        steps: length of the fine-tune, for schedules.
        seed: of the orders.
        step: of learned shares.
        least: share that each source keeps, where shares are learned.

    Raises:
        ValueError: an unknown source, a source without examples, or weights that are all 0.

    Example:
        >>> of = torch.tensor([0, 0, 0, 1])
        >>> mix = SourceMix(of, ("drawn", "rendered"), {"drawn": 1, "rendered": 1}, 2, 10, seed=0)
        >>> sorted(of[next(mix.orders())].tolist())
        [0, 1]
    """

    def __init__(
        self,
        source_of: Tensor,
        names: Sequence[str],
        weights: Weights,
        batch_size: int,
        steps: int,
        seed: int,
        step: float = 0.05,
        least: float = 0.05,
    ) -> None:
        self.names, self.steps, self._seed = tuple(names), steps, seed
        self._source_of = source_of.cpu()
        self._members = [
            torch.nonzero(self._source_of == number).flatten() for number in range(len(names))
        ]
        for name, members in zip(self.names, self._members, strict=True):
            if not len(members):
                raise ValueError(f"source {name!r} has no training images; leave it out")
        self.batch_size = min(batch_size, len(source_of))
        self.learned = weights == LEARNED
        check_number("step", step, above=True)
        check_number("least", least, 0.0, 1.0 / len(names))
        self._step, self._least = step, least
        self._weights = [] if self.learned else self._read(weights)
        self._share = np.full(len(names), 1.0 / len(names))
        self._given: list[list[float]] = []
        self._untold: deque[Tensor] = deque()

    def _read(self, weights: Any) -> list[Any]:
        if not isinstance(weights, Mapping):
            raise ValueError(
                f"source_weights={weights!r} must be 'size', 'learned', or a weight for each of "
                f"{', '.join(self.names)}"
            )
        for name in weights:
            if name not in self.names:
                raise ValueError(unknown_name("source", name, list(self.names)))
        found = [as_weight(weights.get(name, 0.0)) for name in self.names]
        if not any(isinstance(each, ScheduledWeight) or each > 0 for each in found):
            raise ValueError(f"source_weights={dict(weights)} are all 0; give one that is above it")
        return found

    def shares(self, progress: float) -> NDArray[np.float64]:
        """Return the share of each source, which sum to 1.

        Raises:
            ValueError: scheduled weights that are all 0 at this progress.
        """
        if self.learned:
            return self._share
        now = np.array(
            [
                float(each.at(progress)) if isinstance(each, ScheduledWeight) else float(each)
                for each in self._weights
            ]
        )
        if not now.sum() > 0:
            raise ValueError(f"source_weights are all 0 at progress {progress:.2f}; keep one above")
        return np.asarray(now / now.sum())

    def orders(self) -> Iterator[Tensor]:
        """Yield index tensors `[B]` forever, from the first batch on.

        After `load_state_dict` the batches of before come first, as they were.
        """
        readers = [
            _read_round(members, torch.Generator().manual_seed(self._seed + 7919 * number))
            for number, members in enumerate(self._members)
        ]
        self._untold.clear()
        kept, self._given = self._given, []
        carried = np.zeros(len(self.names))
        number = 0
        while True:
            shares = (
                np.array(kept[number])
                if number < len(kept)
                else self.shares(min(number / max(self.steps, 1), 1.0))
            )
            self._given.append([float(share) for share in shares])
            counts, carried = apportion(shares * self.batch_size + carried, self.batch_size)
            drawn = [
                next(reader)
                for reader, count in zip(readers, counts, strict=True)
                for _ in range(count)
            ]
            order = torch.stack(drawn)
            if number >= len(kept):
                self._untold.append(self._source_of[order])
            yield order
            number += 1

    def tell(self, losses: Tensor) -> None:
        """Take in the losses `[B]` of the examples of the oldest batch that nothing is known of."""
        if not self.learned or not self._untold:
            return
        of = self._untold.popleft().numpy()
        if len(losses) != len(of):
            raise ValueError(
                f"{len(losses)} losses of a batch of {len(of)}: learned source weights need whole "
                "batches; share no batches among processes, and set accumulate=1"
            )
        values = losses.detach().float().cpu().numpy()
        if not np.isfinite(values).all():
            return
        for number in range(len(self.names)):
            mine = values[of == number]
            if len(mine):
                self._share[number] *= np.exp(self._step * float(mine.mean()))
        self._share /= self._share.sum()
        self._share = self._least + (1.0 - self._least * len(self.names)) * self._share

    def state_dict(self, steps: int) -> dict[str, Any]:
        """Return what a fine-tune goes on from after so many steps: shares, and those of before."""
        return {"share": self._share.tolist(), "given": self._given[:steps]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on: `orders` gives the batches of before as they were."""
        self._share = np.array(state["share"])
        self._given = [list(each) for each in state["given"]]


def apportion(
    wanted: NDArray[np.float64], total: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return whole numbers near `wanted` that sum to a total, and what each is short of.

    By largest remainders (Hamilton's method); where two are alike, the first.

    Example:
        >>> counts, short = apportion(np.array([1.5, 0.5]), 2)
        >>> counts.tolist(), short.tolist()
        ([2, 0], [-0.5, 0.5])
    """
    counts = np.maximum(np.floor(wanted), 0).astype(np.int64)
    while counts.sum() > total:
        counts[int(np.argmax(counts - wanted))] -= 1
    for place in np.argsort(-(wanted - counts), kind="stable")[: total - int(counts.sum())]:
        counts[place] += 1
    return counts, wanted - counts


def _read_round(members: Tensor, generator: torch.Generator) -> Iterator[Tensor]:
    while True:
        yield from members[torch.randperm(len(members), generator=generator)]
