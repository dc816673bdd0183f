"""A noisy sensor."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from l2o.envs.tasks.composed.gaps.base import Gap, uniform


class Noise(Gap):
    """Adds white noise, the same in all channels or not, and lets some pixels go dead."""

    name: ClassVar[str] = "noise"

    def __init__(self, strength: float, seed: int) -> None:
        super().__init__(strength, seed)
        self.channels = 1 if self.fixed.random() < 0.5 else 3

    def apply(self, images: Tensor, generator: np.random.Generator) -> Tensor:
        """Return noisy images."""
        shape = (len(images), self.channels, *images.shape[2:])
        noise = torch.from_numpy(generator.standard_normal(shape, dtype=np.float32))
        dead = uniform(generator, 0.0, 1.0, len(images), 1, *images.shape[2:])
        noisy = images + 0.2 * self.strength * noise
        return torch.where(dead < 0.05 * self.strength, 0.0, noisy).clamp(0.0, 1.0)
