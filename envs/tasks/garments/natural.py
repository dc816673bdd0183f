"""Natural photographs: crops of those inside scikit-image."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from l2o.envs.tasks.textures.photographs import load_photograph
from l2o.extras import require

PHOTOGRAPHS = (
    "astronaut.png",
    "camera.png",
    "chelsea.png",
    "coffee.png",
    "coins.png",
    "motorcycle_left.png",
    "rocket.jpg",
)
"""Those that show things; none is of garments on black."""

_SHARES = (0.4, 1.0)
"""Sides of crops, as shares of a photograph's short side."""


def draw_crops(count: int, size: int, generator: np.random.Generator) -> Tensor:
    """Return square crops of photographs in turn, uint8 `[count, 3, size, size]`.

    Raises:
        MissingExtraError: scikit-image is not installed.
    """
    require("the garments family, which scores what is kept on photographs,", "skimage")
    crops = torch.empty(count, 3, size, size, dtype=torch.uint8)
    for number in range(count):
        photograph = load_photograph(PHOTOGRAPHS[number % len(PHOTOGRAPHS)])
        height, width = photograph.shape[1:]
        side = int(min(height, width) * generator.uniform(*_SHARES))
        top, left = generator.integers(height - side + 1), generator.integers(width - side + 1)
        crop = photograph[:, top : top + side, left : left + side]
        if generator.random() < 0.5:
            crop = crop.flip(2)
        scaled = functional.interpolate(crop[None], (size, size), mode="bilinear", antialias=True)
        crops[number] = (255 * scaled[0]).round().clamp(0, 255).to(torch.uint8)
    return crops
