"""Another camera's colours."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from l2o.envs.tasks.composed.gaps.base import Gap, uniform


class Colour(Gap):
    """Mixes the channels, bends their curves, inverts some, and tints every image a little."""

    name: ClassVar[str] = "colour"

    def __init__(self, strength: float, seed: int) -> None:
        super().__init__(strength, seed)
        mixing, _ = np.linalg.qr(self.fixed.standard_normal((3, 3)))
        mixing = np.eye(3) + strength * (np.abs(mixing) - np.eye(3))
        self.mixing = torch.from_numpy((mixing / mixing.sum(1, keepdims=True)).astype(np.float32))
        self.curve = uniform(self.fixed, -strength, strength, 1, 3, 1, 1).exp()
        self.inverted = self.fixed.random() < strength / 2

    def apply(self, images: Tensor, generator: np.random.Generator) -> Tensor:
        """Return images in other colours."""
        mixed = torch.einsum("dc,nchw->ndhw", self.mixing, images).clamp(0.0, 1.0)
        mixed = mixed.clamp(min=1e-4).pow(self.curve)
        mixed = 1.0 - mixed if self.inverted else mixed
        tint = 0.15 * self.strength * uniform(generator, -1.0, 1.0, len(images), 3, 1, 1)
        return (mixed + tint).clamp(0.0, 1.0)
