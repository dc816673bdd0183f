"""What kinds share that are drawn in ink: places, poses, colours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from l2o.envs.tasks.digits.synthetic import draw_colours
from l2o.envs.tasks.proxy.images import SIDE

Palette = tuple[tuple[float, ...], ...]
"""Pairs of a background's and a foreground's (R, G, B); each image is drawn in one."""


@dataclass(frozen=True)
class Pose:
    """How far images of a look are turned, zoomed and shifted, either way.

    Attributes:
        rotation: in degrees.
        zoom: as a share.
        shift: as a share of half the side.
    """

    rotation: float = 10.0
    zoom: float = 0.1
    shift: float = 0.1


def draw_palette(colours: tuple[int, int], generator: np.random.Generator) -> Palette:
    """Draw a number of pairs of colours, from `colours[0]` to `colours[1]`, and the pairs."""
    count = int(generator.integers(colours[0], colours[1], endpoint=True))
    return draw_colours(count, 0.25, generator)


def paint(ink: Tensor, palette: Palette, generator: np.random.Generator) -> Tensor:
    """Return ink `[N, 16, 16]` in [0, 1] in colours, `[N, 3, 16, 16]`."""
    pairs = torch.tensor(palette, dtype=torch.float32)
    chosen = torch.from_numpy(generator.integers(len(pairs), size=len(ink)))
    background, foreground = pairs[chosen].view(-1, 2, 3, 1, 1).unbind(dim=1)
    return background + (foreground - background) * ink[:, None]


def draw_affine(count: int, pose: Pose, generator: np.random.Generator) -> Tensor:
    """Draw affine maps from places of an image to places of what it shows, `[count, 2, 3]`."""
    angle = np.deg2rad(pose.rotation) * generator.uniform(-1.0, 1.0, count)
    zoom = 1.0 + pose.zoom * generator.uniform(-1.0, 1.0, count)
    x, y = pose.shift * generator.uniform(-1.0, 1.0, (2, count))
    cos, sin = np.cos(angle) * zoom, np.sin(angle) * zoom
    rows = np.asarray([[cos, -sin, x], [sin, cos, y]], dtype=np.float32)
    return torch.from_numpy(rows.transpose(2, 0, 1).copy())


def draw_places(
    count: int, pose: Pose, generator: np.random.Generator, side: int = SIDE
) -> tuple[Tensor, Tensor]:
    """Return the places x, y that the pixels of posed images show, `[count, side²]` in [-1, 1]."""
    affine = draw_affine(count, pose, generator)
    grid = functional.affine_grid(affine, [count, 1, side, side], align_corners=False)
    x, y = grid.flatten(1, 2).unbind(dim=-1)
    return x, y


def sample_bitmaps(
    bitmaps: Tensor, pose: Pose, generator: np.random.Generator, padding: str = "zeros"
) -> Tensor:
    """Return bitmaps `[N, C, H, W]` posed, `[N, C, 16, 16]`, two by two samples a pixel."""
    affine = draw_affine(len(bitmaps), pose, generator)
    size = [*bitmaps.shape[:2], 2 * SIDE, 2 * SIDE]
    grid = functional.affine_grid(affine, size, align_corners=False)
    fine = functional.grid_sample(bitmaps, grid, padding_mode=padding, align_corners=False)
    return functional.avg_pool2d(fine, 2)


def shade(distance: Tensor, softness: float = 0.08) -> Tensor:
    """Return ink where a signed distance is below 0, with a soft edge, in [0, 1]."""
    return torch.sigmoid(-distance / softness)
