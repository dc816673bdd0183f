"""Patches of scikit-learn's two sample photographs, as backgrounds for real digits."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from l2o.envs.tasks.digits.writers import SIZE

PHOTOGRAPHS = ("china", "flower")
SCALES = (1, 2, 3)
"""Photograph pixels per patch pixel; drawn per patch."""


@cache
def load_pyramid(photograph: str, split: str) -> tuple[Tensor, ...]:
    """Return a photograph's half at each scale, `[3, H // scale, W // scale]` in [0, 1].

    The left half belongs to meta-training, the right half to the held-out split: with only two
    photographs, this is how the splits share no pixel.
    """
    from sklearn.datasets import load_sample_image  # slow import, needed once

    pixels = np.array(load_sample_image(f"{photograph}.jpg"), dtype=np.float32) / 255.0
    middle = pixels.shape[1] // 2
    half = pixels[:, :middle] if split == "train" else pixels[:, middle:]
    image = torch.from_numpy(np.ascontiguousarray(half.transpose(2, 0, 1)))
    return tuple(functional.avg_pool2d(image[None], scale)[0] for scale in SCALES)


def draw_patches(count: int, photograph: str, split: str, generator: np.random.Generator) -> Tensor:
    """Draw patches at uniform places and scales, `[count, 3, 16, 16]` in [0, 1]."""
    pyramid = load_pyramid(photograph, split)
    scales = generator.integers(len(SCALES), size=count)
    places = generator.random((2, count))
    window = torch.arange(SIZE)
    patches = torch.empty(count, 3, SIZE, SIZE)
    for index, image in enumerate(pyramid):
        chosen = np.flatnonzero(scales == index)
        top, left = (
            torch.from_numpy(
                (places[axis, chosen] * (image.shape[axis + 1] - SIZE + 1)).astype(int)
            )
            for axis in (0, 1)
        )
        rows = (top[:, None] + window)[:, :, None]
        columns = (left[:, None] + window)[:, None, :]
        patches[torch.from_numpy(chosen)] = image[:, rows, columns].transpose(0, 1)
    return patches
