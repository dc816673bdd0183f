"""The contract of feature terms: a distance between the features of two domains."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from l2o.adaptation.base import Adaptation, Batch, Phase
from l2o.adaptation.self_training import wide
from l2o.checks import check_number


@dataclass(eq=False)
class FeatureTerm(Adaptation):
    """L_source + weight · distance(features of the source, features of the target).

    Args:
        weight: not negative.
        pixels: of maps, positions of each image that are looked at, drawn evenly; 0: their mean.
        seed: of networks of its own.

    Raises:
        ValueError: a negative weight or number.
    """

    weight: float = 1.0
    pixels: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        check_number("weight", self.weight)
        check_number("pixels", self.pixels)

    @abstractmethod
    def distance(self, source: Tensor, target: Tensor, progress: float) -> Tensor:
        """Return the distance of features `[N, D]` from `[M, D]`, a scalar."""

    def __call__(self, source: Tensor, target: Tensor, progress: float = 1.0) -> Tensor:
        """Return the unweighted term of features `[N, D]` or `[N, D, h, w]`.

        Raises:
            ValueError: the features are not as wide as each other.
        """
        source, target = self.rows(source), self.rows(target)
        if source.shape[1:] != target.shape[1:] or not len(source) or not len(target):
            raise ValueError(
                f"features of the source {tuple(source.shape)} and of the target "
                f"{tuple(target.shape)} must be [N, D] and [M, D] of one layer, and not empty"
            )
        return self.distance(wide(source), wide(target), progress)

    def loss(self, batch: Batch, phase: Phase) -> Tensor:
        """Return the source's loss and the weighted term."""
        del phase
        term = self(batch.source.features, batch.target.features, batch.progress)
        return batch.source_loss + self.weight * term

    def rows(self, features: Tensor) -> Tensor:
        """Return features as rows `[N, D]`: of maps their mean, or some positions."""
        if features.dim() == 2:
            return features
        flat = features.flatten(2)
        if not self.pixels:
            return flat.mean(dim=2)
        places = torch.linspace(0, flat.shape[2] - 1, min(self.pixels, flat.shape[2])).long()
        return flat[:, :, places.to(flat.device)].transpose(1, 2).flatten(0, 1)
