"""Terms on the predictions of unlabelled images: their entropy, and what they tell."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from l2o.adaptation.base import Adaptation, Batch, Phase
from l2o.adaptation.self_training import wide
from l2o.checks import check_number


@dataclass(eq=False)
class EntropyMinimisation(Adaptation):
    """L_source + weight · mean of H(p), H(p) = −Σ_k p_k log p_k, on target images.

    Source: Grandvalet and Bengio, Semi-supervised Learning by Entropy Minimization, NeurIPS 2004.

    Args:
        weight: not negative.
        seed: of nothing.

    Raises:
        ValueError: a negative weight.

    Example:
        >>> EntropyMinimisation()(torch.zeros(5, 4))  # log 4
        tensor(1.3863)
    """

    weight: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        check_number("weight", self.weight)

    def __call__(self, outputs: Tensor) -> Tensor:
        """Return the mean entropy of logits `[N, K]` or `[N, K, H, W]`, in nats."""
        return entropies(outputs).mean()

    def loss(self, batch: Batch, phase: Phase) -> Tensor:
        """Return the source's loss and the weighted term."""
        del phase
        return batch.source_loss + self.weight * self(batch.target.outputs)


@dataclass(eq=False)
class InformationMaximisation(EntropyMinimisation):
    """L_source + weight · (mean of H(p) − H(mean of p)), on target images.

    Sure predictions, but of all classes. Source: Krause, Perona and Gomes, Discriminative
    Clustering by Regularized Information Maximization, NeurIPS 2010.

    Args:
        weight: not negative.
        seed: of nothing.

    Raises:
        ValueError: a negative weight.

    Example:
        >>> InformationMaximisation()(100 * torch.eye(4))  # sure, and of all four: -log 4
        tensor(-1.3863)
    """

    def __call__(self, outputs: Tensor) -> Tensor:
        """Return the negative mutual information of logits `[N, K]` or `[N, K, H, W]`."""
        p = torch.softmax(wide(outputs), dim=1)
        mean = p.movedim(1, -1).flatten(0, -2).mean(dim=0)
        return super().__call__(outputs) + torch.xlogy(mean, mean).sum()


def entropies(outputs: Tensor) -> Tensor:
    """Return the entropy of each prediction `[N]` or `[N, H, W]`, in nats."""
    log_p = functional.log_softmax(wide(outputs), dim=1)
    return -(log_p.exp() * log_p).sum(dim=1)
