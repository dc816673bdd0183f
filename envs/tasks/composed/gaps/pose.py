"""Taken from elsewhere."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from torch import Tensor
from torch.nn import functional

from l2o.envs.tasks.composed.gaps.base import Gap
from l2o.envs.tasks.composed.kinds.ink import Pose as Turn
from l2o.envs.tasks.composed.kinds.ink import draw_affine


class Pose(Gap):
    """Turns, zooms and shifts every image, the zoom by a factor that all share."""

    name: ClassVar[str] = "pose"

    def __init__(self, strength: float, seed: int) -> None:
        super().__init__(strength, seed)
        self.zoom = float(np.exp(strength * self.fixed.uniform(-0.4, 0.4)))

    def apply(self, images: Tensor, generator: np.random.Generator) -> Tensor:
        """Return images in other poses; what was outside repeats the edge."""
        turn = Turn(35.0 * self.strength, 0.2 * self.strength, 0.25 * self.strength)
        affine = draw_affine(len(images), turn, generator)
        affine[:, :, :2] *= self.zoom
        grid = functional.affine_grid(affine, list(images.shape), align_corners=False)
        return functional.grid_sample(
            images, grid, padding_mode="reflection", align_corners=False
        ).clamp(0.0, 1.0)
