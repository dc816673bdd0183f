"""Among other things."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from l2o.envs.tasks.composed.gaps.base import Gap, uniform
from l2o.envs.tasks.proxy.images import SIDE


class Background(Gap):
    """Shows images smaller, somewhere on a clutter of coloured patches of one coarseness."""

    name: ClassVar[str] = "background"

    def __init__(self, strength: float, seed: int) -> None:
        super().__init__(strength, seed)
        self.cells = int(self.fixed.integers(2, 9))
        self.scale = 1.0 / (1.0 - 0.4 * strength)

    def apply(self, images: Tensor, generator: np.random.Generator) -> Tensor:
        """Return images on clutter."""
        count = len(images)
        affine = torch.zeros(count, 2, 3)
        affine[:, 0, 0] = affine[:, 1, 1] = self.scale
        affine[:, :, 2] = (self.scale - 1.0) * uniform(generator, -1.0, 1.0, count, 2)
        grid = functional.affine_grid(affine, list(images.shape), align_corners=False)
        small = functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
        inside = (grid.abs().amax(dim=-1) <= 1.0)[:, None]
        cells = uniform(generator, 0.0, 1.0, count, 3, self.cells, self.cells)
        clutter = functional.interpolate(cells, (SIDE, SIDE), mode="bilinear")
        return torch.where(inside, small, clutter)
