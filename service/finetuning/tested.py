"""What a fine-tuned network answers on a split, gathered in one pass without its features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from l2o.benchmarks.cells.record import finite
from l2o.benchmarks.cells.target_measures import ENERGIES, HALVES, halves
from l2o.envs.fine_tuning.adapting.staged import Run
from l2o.measures import HypersphericalEnergy, Outputs

_FEATURES = 2000
"""Images whose features are kept: energies compare each with each."""


@dataclass(frozen=True)
class Tested:
    """Answers of a classifier on a split.

    Attributes:
        files: path of each image, or its number where it has none.
        labels: `[N]`, -1 where they are not known.
        logits: `[N, K]`.
        features: of the first images, pooled, `[n, C]`.
        labelled: whether labels are known.
    """

    files: Sequence[str]
    labels: Tensor
    logits: Tensor
    features: Tensor
    labelled: bool

    @property
    def predicted(self) -> Tensor:
        """The classes `[N]`."""
        return self.logits.argmax(dim=1)

    @property
    def confidence(self) -> Tensor:
        """The probability of the answer `[N]`."""
        return self.logits.softmax(dim=1).amax(dim=1)

    def confusion(self) -> Tensor:
        """Return how many images of each class (row) are taken for each (column) `[K, K]`."""
        classes = self.logits.shape[1]
        counts = torch.zeros(classes, classes, dtype=torch.int64)
        if self.labelled:
            places = self.labels * classes + self.predicted
            counts.view(-1).scatter_add_(0, places, torch.ones_like(places))
        return counts

    def measures(self) -> dict[str, float | None]:
        """Return what a record says beside metrics: energies of features, halves."""
        energies = HypersphericalEnergy()(Outputs(features=self.features))
        found = {name: finite(energies[name]) for name in ENERGIES}
        both = halves(self.logits, self.labels) if self.labelled else (None, None)
        return {**found, **dict(zip(HALVES, both, strict=True))}

    def class_accuracies(self) -> tuple[float | None, ...]:
        """Return the accuracy of each class; None for one without images."""
        if not self.labelled:
            return ()
        counts = self.confusion()
        shares = counts.diagonal().double() / counts.sum(dim=1)
        return tuple(map(finite, shares.tolist()))


def answer_classes(run: Run, split: str = "target_test") -> Tested:
    """Return what a classifier answers on a split."""
    logits, labels, features, kept = [], [], [], 0
    for batch in run.outputs(split):
        assert batch.logits is not None
        assert batch.labels is not None
        assert batch.features is not None
        logits.append(batch.logits.float().cpu())
        labels.append(batch.labels.cpu())
        if kept < _FEATURES:
            features.append(pooled(batch.features)[: _FEATURES - kept].float().cpu())
            kept += len(features[-1])
    count = sum(map(len, labels))
    return Tested(
        files=file_names(getattr(run.task, split), count),
        labels=torch.cat(labels),
        logits=torch.cat(logits),
        features=torch.cat(features),
        labelled=split not in run.task.unlabelled,
    )


def pooled(features: Tensor) -> Tensor:
    """Return one vector for each image `[N, C]`: maps are averaged over positions.

    Example:
        >>> pooled(torch.ones(2, 3, 4, 4)).shape, pooled(torch.ones(2, 5)).shape
        (torch.Size([2, 3]), torch.Size([2, 5]))
    """
    if features.dim() == 4:
        return features.mean(dim=(2, 3))
    # Transformers give tokens, [N, T, C].
    return features.mean(dim=1) if features.dim() == 3 else features


def file_names(data: Any, count: int) -> list[str]:
    """Return the path of each image of a data set, or its number where it knows none."""
    listing = getattr(data, "listing", None)
    path = getattr(getattr(listing, "images", listing), "path", None)
    if path is None:
        return [str(number) for number in range(count)]
    return [str(path(number)) for number in range(count)]
