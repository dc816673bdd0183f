"""The contract of selection rules: which predictions become pseudo-labels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable

import torch
from torch import Tensor

from l2o.adaptation.base import IGNORED
from l2o.adaptation.pseudo_labels import PseudoLabels, joined


class Selection(ABC):
    """Looks at all predictions of a round once, then chooses batch by batch.

    Probabilities are `[N, K]`, or `[N, K, H, W]` for dense prediction, classes in dim 1. What holds
    a NaN is never chosen.

    Example:
        >>> from l2o.adaptation import ClassBalanced
        >>> rule = ClassBalanced(share=0.5)
        >>> probabilities = torch.tensor([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7]])
        >>> rule.observe(probabilities)  # for each batch of the target's images
        >>> rule.choose(probabilities).labels.tolist()  # and again
        [0, -100, 1]
    """

    @abstractmethod
    def observe(self, probabilities: Tensor) -> None:
        """Take account of a batch of predictions."""

    @abstractmethod
    def choose(self, probabilities: Tensor) -> PseudoLabels:
        """Return the pseudo-labels of a batch, once all were observed."""


def choose_all(rule: Selection, batches: Iterable[Tensor]) -> PseudoLabels:
    """Return the pseudo-labels of predictions that fit into memory.

    Args:
        rule: a fresh one.
        batches: of probabilities; gone through twice.
    """
    held = list(batches)
    for batch in held:
        rule.observe(batch)
    return joined([rule.choose(batch) for batch in held])


def surest(probabilities: Tensor) -> tuple[Tensor, Tensor]:
    """Return the largest probability of each prediction, and its class; NaN has the class -1."""
    check_probabilities(probabilities)
    confidence, label = probabilities.max(dim=1)
    return confidence, torch.where(torch.isnan(confidence), -1, label)


def hard_labels(label: Tensor, kept: Tensor, confidence: Tensor) -> PseudoLabels:
    """Return labels where they are kept."""
    return PseudoLabels(torch.where(kept & (label >= 0), label, IGNORED), confidence)


def check_probabilities(probabilities: Tensor) -> None:
    """Raise unless there are floating-point predictions of two classes at least.

    Raises:
        ValueError: naming shape and type.
    """
    fits = probabilities.dim() >= 2 and probabilities.shape[1] >= 2
    if not fits or not probabilities.is_floating_point():
        raise ValueError(
            f"probabilities must be floating-point [N, K] or [N, K, H, W] with K of 2 at least, "
            f"got {tuple(probabilities.shape)} of {probabilities.dtype}"
        )


def by_class(values: Tensor, like: Tensor) -> Tensor:
    """Return a value for each class `[K]` in the shape of probabilities `[1, K, 1, ...]`."""
    return values.to(like).view(1, -1, *(1,) * (like.dim() - 2))
