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

TEXTURED = 0.5
"""Share of a photograph's patches that is used, the most textured ones.

A flat patch (sky, blurred green) makes a real digit look like a synthetic one: with such patches
among the target's, forgetting the real world costs little and guidance gains little.
"""


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


@cache
def find_textured(photograph: str, split: str) -> tuple[Tensor, ...]:
    """Return the (top, left) corners of the textured patches at each scale, `[P, 2]`.

    Texture is the standard deviation of the pixels within a patch, mean over the channels.
    """
    return tuple(_textured_corners(image) for image in load_pyramid(photograph, split))


def draw_patches(count: int, photograph: str, split: str, generator: np.random.Generator) -> Tensor:
    """Draw textured patches at uniform places and scales, `[count, 3, 16, 16]` in [0, 1]."""
    pyramid, corners = load_pyramid(photograph, split), find_textured(photograph, split)
    scales = generator.integers(len(SCALES), size=count)
    places = generator.random(count)
    window = torch.arange(SIZE)
    patches = torch.empty(count, 3, SIZE, SIZE)
    for index, (image, places_here) in enumerate(zip(pyramid, corners)):
        chosen = np.flatnonzero(scales == index)
        drawn = (places[chosen] * len(places_here)).astype(np.int64)
        top, left = places_here[torch.from_numpy(drawn)].unbind(dim=1)
        rows = (top[:, None] + window)[:, :, None]
        columns = (left[:, None] + window)[:, None, :]
        patches[torch.from_numpy(chosen)] = image[:, rows, columns].transpose(0, 1)
    return patches


def _textured_corners(image: Tensor) -> Tensor:
    pixels = image.double()[None]
    mean = functional.avg_pool2d(pixels, SIZE, stride=1)
    square = functional.avg_pool2d(pixels.square(), SIZE, stride=1)
    texture = (square - mean.square()).clamp(min=0.0).sqrt().mean(dim=1)[0]
    # numpy's quantile: torch's refuses the number of places that a photograph has.
    return torch.nonzero(texture >= float(np.quantile(texture.numpy(), 1.0 - TEXTURED)))
