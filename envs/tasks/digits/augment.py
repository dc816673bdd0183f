"""Variation of the real images that the proxy is pretrained on."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

ROTATION = 0.26
SHEAR = 0.2
SCALE = (0.9, 1.15)
SHIFT = 0.12
"""Largest rotation (radians), shear, range of zoom per axis, shift (of half an image)."""

VARIED = 0.25
"""Share of the patches whose colours are varied."""


def vary_patches(patches: Tensor, generator: np.random.Generator) -> Tensor:
    """Of a quarter of the patches, shuffle the colour channels and invert one in two.

    One photograph is a narrow world: a proxy that saw nothing else knows a half to two thirds of
    the digits on the other one. Varying every patch instead makes so general a proxy that
    fine-tuning hardly harms it.
    """
    count = len(patches)
    order = torch.from_numpy(generator.permuted(np.tile(np.arange(3), (count, 1)), axis=1))
    shuffled = patches.gather(1, order[:, :, None, None].expand_as(patches))
    invert = torch.from_numpy(generator.random(count) < 0.5)[:, None, None, None]
    varied = torch.from_numpy(generator.random(count) < VARIED)[:, None, None, None]
    return torch.where(varied, torch.where(invert, 1.0 - shuffled, shuffled), patches)


def warp_ink(ink: Tensor, generator: np.random.Generator) -> Tensor:
    """Rotate, shear, zoom and shift each digit a little: four writers stand in for many."""
    count = len(ink)
    angle = generator.uniform(-ROTATION, ROTATION, count)
    shear = generator.uniform(-SHEAR, SHEAR, count)
    zoom_x, zoom_y = generator.uniform(*SCALE, (2, count))
    shift_x, shift_y = generator.uniform(-SHIFT, SHIFT, (2, count))
    rows = [
        [zoom_x * np.cos(angle), shear - np.sin(angle), shift_x],
        [np.sin(angle), zoom_y * np.cos(angle), shift_y],
    ]
    affine = torch.from_numpy(np.asarray(rows, dtype=np.float32).transpose(2, 0, 1).copy())
    images = ink[:, None]
    grid = functional.affine_grid(affine, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, align_corners=False)[:, 0]
