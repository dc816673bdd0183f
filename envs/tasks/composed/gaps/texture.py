"""A texture over the whole image."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from l2o.envs.tasks.composed.gaps.base import Gap, uniform
from l2o.envs.tasks.proxy.images import SIDE


class Texture(Gap):
    """Lays a weave of two waves over images, at a place of its own on each."""

    name: ClassVar[str] = "texture"

    def __init__(self, strength: float, seed: int) -> None:
        super().__init__(strength, seed)
        self.waves = uniform(self.fixed, -2.2, 2.2, 2, 2)
        self.colour = uniform(self.fixed, 0.3, 1.0, 1, 3, 1, 1)

    def apply(self, images: Tensor, generator: np.random.Generator) -> Tensor:
        """Return images under a weave."""
        rows = torch.arange(SIDE, dtype=torch.float32)
        phases = uniform(generator, 0.0, 2 * np.pi, len(images), 2, 1, 1)
        (a, b), (c, d) = self.waves.tolist()
        first = torch.sin(a * rows[:, None] + b * rows + phases[:, 0])
        second = torch.sin(c * rows[:, None] + d * rows + phases[:, 1])
        weave = (first * second)[:, None] * self.colour
        return (images + 0.45 * self.strength * weave).clamp(0.0, 1.0)
