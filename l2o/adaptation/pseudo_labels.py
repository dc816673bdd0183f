"""Pseudo-labels: classes that a network's own predictions stand for, and how sure they are."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from l2o.adaptation.base import IGNORED


@dataclass(frozen=True)
class PseudoLabels:
    """Labels that were chosen of a batch of predictions.

    Attributes:
        labels: int64 `[N]` or `[N, H, W]`, `IGNORED` where none was chosen.
        confidence: of the label, or of the prediction where none was chosen, of the same shape.
        soft: `[N, K]` or `[N, K, H, W]`, where a rule gives soft labels.

    Example:
        >>> found = PseudoLabels(torch.tensor([1, IGNORED]), torch.tensor([0.9, 0.4]))
        >>> found.kept.tolist()
        [True, False]
    """

    labels: Tensor
    confidence: Tensor
    soft: Tensor | None = None

    @property
    def kept(self) -> Tensor:
        """Where a label was chosen, of the shape of the labels."""
        return self.labels != IGNORED

    def counts(self, classes: int) -> Tensor:
        """Return how many labels of each class were chosen, int64 `[K]`."""
        return torch.bincount(self.labels[self.kept], minlength=classes)


def joined(parts: list[PseudoLabels]) -> PseudoLabels:
    """Return the pseudo-labels of batches as those of all their images.

    Raises:
        ValueError: there are none.
    """
    if not parts:
        raise ValueError("there are no predictions to choose pseudo-labels from")
    soft = [part.soft for part in parts if part.soft is not None]
    return PseudoLabels(
        torch.cat([part.labels for part in parts]),
        torch.cat([part.confidence for part in parts]),
        torch.cat(soft) if len(soft) == len(parts) else None,
    )
