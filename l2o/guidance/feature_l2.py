"""Feature distillation: the squared distance of features from the frozen network's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from l2o.guidance.base import Guidance
from l2o.guidance.compare import at_least_single, check_pair


@dataclass(frozen=True)
class FeatureL2(Guidance[Tensor]):
    """γ · ‖f(x) − f₀(x)‖², the mean over the batch (and pixels), the weight being γ.

    Source: Chen, Li and Van Gool, ROAD: Reality Oriented Adaptation for Semantic Segmentation of
    Urban Scenes, CVPR 2018 (its distillation).

    Args:
        weight: γ, not negative; or a schedule of it.
        cap: upper bound of the weighted term, not negative; None is no bound.

    Raises:
        ValueError: a negative or non-finite weight or cap.

    Example:
        >>> FeatureL2(weight=0.5)(torch.ones(4, 6), torch.zeros(4, 6))
        tensor(3.)
    """

    compares: ClassVar[str] = "features"

    def divergence(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Return the mean squared distance, a scalar.

        Args:
            student: features `[N, D]`, or `[N, D, ...]` for dense prediction.
            teacher: the frozen network's, of the same images; taken as constants.

        Raises:
            ValueError: shapes differ, lack a batch or feature dimension, or are empty.
        """
        check_pair("features", student, teacher)
        difference = at_least_single(student) - teacher.detach()
        return difference.square().sum(dim=1).mean()
