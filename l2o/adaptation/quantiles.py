"""Quantiles of confidences by class, of any number of predictions, in little memory."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from l2o.checks import check_at_least_one, check_number

BINS = 1 << 16
"""Bins of each class."""
LOW, HIGH = -16.0, 16.0
"""The logits of confidences that the bins span."""


class ClassQuantiles:
    """For each class, the confidence at a rank among those that were added, the largest first.

    Up to `exact` values are kept as they are. Of more, each class has a histogram of the
    logits log(c / (1 - c)), whose bins are w = 32 / 65,536 wide: a threshold is then the lower
    edge of the bin in which the rank falls, so it is at most c (1 - c) w, or 0.00013, too low,
    and what it lets through is at least what was asked for. 19 classes take 10 MB.

    Args:
        classes: K.
        exact: values that are kept as they are.

    Attributes:
        counts: int64 `[K]`, of each class.

    Raises:
        ValueError: no classes.

    Example:
        >>> quantiles = ClassQuantiles(2)
        >>> quantiles.add(torch.tensor([0, 0, 0, 0, 1]), torch.tensor([0.9, 0.8, 0.7, 0.6, 0.5]))
        >>> quantiles.thresholds(0.5)
        tensor([0.8000, 0.5000], dtype=torch.float64)
    """

    def __init__(self, classes: int, exact: int = 1_000_000) -> None:
        self.classes = check_at_least_one("classes", classes)
        self.exact = exact
        self.counts = torch.zeros(classes, dtype=torch.int64)
        self._kept: list[tuple[Tensor, Tensor]] | None = []
        self._bins: Tensor | None = None

    def add(self, classes: Tensor, confidences: Tensor) -> None:
        """Add predictions: their classes, int64 of any shape, and confidences in [0, 1].

        What is not a number, or of no class, is left out.
        """
        classes, confidences = classes.flatten().cpu(), confidences.detach().flatten().cpu()
        usable = torch.isfinite(confidences) & (classes >= 0) & (classes < self.classes)
        classes, confidences = classes[usable], confidences[usable]
        self.counts += torch.bincount(classes, minlength=self.classes)
        if self._kept is not None and int(self.counts.sum()) <= self.exact:
            self._kept.append((classes, confidences))
            return
        for held in self._kept or ():
            self._count(*held)
        self._kept = None
        self._count(classes, confidences)

    def _count(self, classes: Tensor, confidences: Tensor) -> None:
        if self._bins is None:
            self._bins = torch.zeros(self.classes * BINS, dtype=torch.int64)
        logits = torch.logit(confidences.float(), eps=1e-7)
        places = ((logits - LOW) * (BINS / (HIGH - LOW))).long().clamp_(0, BINS - 1)
        self._bins += torch.bincount(places.add_(classes * BINS), minlength=len(self._bins))

    def thresholds(self, share: float) -> Tensor:
        """Return the confidence at rank ⌊share · N_k⌋ of each class, float64 `[K]`.

        The rank is at least 1; a class that was never predicted has 1, which nothing exceeds.

        Raises:
            ValueError: a share that is not in [0, 1].
        """
        check_number("share", share, 0.0, 1.0)
        # The share as it is written: 0.3 · 10 is 3, though its nearest float is below.
        ranks = [max(1, math.floor(share * n + 1e-9)) if n else 0 for n in self.counts.tolist()]
        found = self._exact(ranks) if self._kept is not None else self._binned(ranks)
        return torch.tensor(found, dtype=torch.float64)

    def _exact(self, ranks: list[int]) -> list[float]:
        if not self._kept:
            return [1.0] * self.classes
        classes, values = (torch.cat(each) for each in zip(*self._kept, strict=True))
        found = []
        for label, rank in enumerate(ranks):
            own = values[classes == label].sort(descending=True).values
            found.append(float(own[rank - 1]) if rank else 1.0)
        return found

    def _binned(self, ranks: list[int]) -> list[float]:
        assert self._bins is not None
        found = []
        for counts, rank in zip(self._bins.view(self.classes, BINS), ranks, strict=True):
            above = counts.flip(0).cumsum(0)
            place = BINS - 1 - int(torch.searchsorted(above, rank))
            edge = LOW + place * (HIGH - LOW) / BINS
            found.append(1.0 / (1.0 + math.exp(-edge)) if rank else 1.0)
        return found
