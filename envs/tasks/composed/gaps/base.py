"""The contract of gaps: what sets the images of one side apart from those of the other."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor


class Gap(ABC):
    """Changes the images of a side. What they have in common is drawn once, from a seed.

    Args:
        strength: from 0, which leaves images as they are, to 1.
        seed: draws what all images of a side share: a direction, a colour, a grid.

    Attributes:
        name: in `GAPS`.
    """

    name: ClassVar[str]

    def __init__(self, strength: float, seed: int) -> None:
        self.strength = strength
        self.fixed = np.random.default_rng([17, seed])

    @abstractmethod
    def apply(self, images: Tensor, generator: np.random.Generator) -> Tensor:
        """Return changed images `[N, 3, 16, 16]` in [0, 1].

        Args:
            images: likewise.
            generator: draws what differs from image to image.
        """


def uniform(generator: np.random.Generator, low: float, high: float, *shape: int) -> Tensor:
    """Draw uniform numbers as a float32 tensor."""
    return torch.from_numpy(generator.uniform(low, high, shape).astype(np.float32))
