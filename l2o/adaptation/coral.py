"""Correlation alignment: the distance of the features' covariances."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from l2o.adaptation.feature_term import FeatureTerm


@dataclass(eq=False)
class CORAL(FeatureTerm):
    """‖C_s − C_t‖²_F / (4 D²), C the covariances of features of D dimensions.

    Source: Sun and Saenko, Deep CORAL: Correlation Alignment for Deep Domain Adaptation, ECCV
    workshops 2016.

    Args:
        weight: not negative.
        pixels: of maps, positions of each image that are looked at; 0: their mean.
        seed: of nothing.

    Raises:
        ValueError: a negative weight.

    Example:
        >>> x = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
        >>> CORAL()(x, torch.zeros(2, 2))  # variance 2 against 0
        tensor(0.2500)
    """

    def distance(self, source: Tensor, target: Tensor, progress: float) -> Tensor:
        """Return the distance of the covariances."""
        del progress
        difference = covariance(source) - covariance(target)
        return difference.square().sum() / (4.0 * source.shape[1] ** 2)


def covariance(rows: Tensor) -> Tensor:
    """Return the covariance `[D, D]` of rows `[N, D]`; zeros of a single one."""
    centred = rows - rows.mean(dim=0)
    return centred.T @ centred / max(1, len(rows) - 1)
