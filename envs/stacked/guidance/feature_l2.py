"""Feature distillation of N fine-tunes."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from l2o.envs.stacked.guidance.base import Batch, StackedTerm


class StackedFeatureL2(StackedTerm):
    """`l2o.guidance.FeatureL2` against the frozen networks' cached features."""

    needs_features: ClassVar[bool] = True

    def divergence(self, batch: Batch) -> Tensor:
        """Return the mean squared distance of each network."""
        assert batch.teacher_features is not None
        features = batch.features
        single = torch.promote_types(features.dtype, torch.float32)
        squares = (features.to(single) - batch.teacher_features).square()
        each = squares.flatten(3).mean(dim=3) if squares.dim() > 3 else squares
        return each.sum(dim=2).mean(dim=0)
