"""Out of focus."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from l2o.envs.tasks.composed.gaps.base import Gap

_REACH = 3


class Blur(Gap):
    """Blurs images by a Gaussian of up to 1.6 pixels, longer in one direction than the other."""

    name: ClassVar[str] = "blur"

    def __init__(self, strength: float, seed: int) -> None:
        super().__init__(strength, seed)
        self.widths = 0.2 + strength * self.fixed.uniform(0.7, 1.4, 2)

    def apply(self, images: Tensor, generator: np.random.Generator) -> Tensor:
        """Return blurred images."""
        places = torch.arange(-_REACH, _REACH + 1, dtype=torch.float32)
        rows, columns = (torch.exp(-0.5 * (places / width) ** 2) for width in self.widths)
        kernel = (rows / rows.sum())[:, None] * (columns / columns.sum())
        padded = functional.pad(images, (_REACH,) * 4, mode="replicate")
        flat = padded.flatten(0, 1)[:, None]
        return functional.conv2d(flat, kernel[None, None]).view_as(images)
