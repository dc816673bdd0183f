"""Synthetic images: digits drawn from fonts, prepared like UCI's scans, in flat colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from l2o.envs.tasks.base import Examples
from l2o.envs.tasks.digits.fonts import load_glyphs
from l2o.envs.tasks.digits.writers import enlarge
from l2o.envs.tasks.proxy.images import centre


@dataclass(frozen=True)
class Rendering:
    """How a task's synthetic images are drawn.

    Attributes:
        fonts: names of fonts; each image draws one.
        rotation: largest rotation, in degrees.
        shear: largest horizontal shear, as a fraction of the height.
        colours: pairs of flat colours (see `draw_colours`); each image draws one.
    """

    fonts: Sequence[str]
    rotation: float
    shear: float
    colours: Sequence[Sequence[float]]


def draw_synthetic(
    count: int,
    rendering: Rendering,
    generator: np.random.Generator,
    digits: Sequence[int] = range(10),
) -> Examples:
    """Draw labelled synthetic images, `[count, 3, 16, 16]` in [-1, 1], classes balanced.

    Labels are places in `digits`, the digits that are drawn.
    """
    labels = generator.permutation(np.arange(count) % len(digits))
    drawn_digits = np.asarray(digits)[labels]
    ink = draw_ink(rendering, drawn_digits, generator)
    colours = np.asarray(rendering.colours, dtype=np.float32)
    drawn = torch.from_numpy(colours[generator.integers(len(colours), size=count)])
    background, foreground = drawn.view(count, 2, 3, 1, 1).unbind(dim=1)
    pixels = background + (foreground - background) * ink[:, None]
    return Examples(centre(pixels), torch.from_numpy(labels))


def draw_ink(rendering: Rendering, digits: np.ndarray, generator: np.random.Generator) -> Tensor:
    """Draw digits as ink in [0, 1], `[N, 16, 16]`: each in a font, a rotation and a shear."""
    count = len(digits)
    fonts = generator.integers(len(rendering.fonts), size=count)
    angles = np.deg2rad(rendering.rotation) * generator.uniform(-1.0, 1.0, count)
    shears = rendering.shear * generator.uniform(-1.0, 1.0, count)
    ink = torch.empty(count, 8, 8)
    for index, font in enumerate(rendering.fonts):
        chosen = np.flatnonzero(fonts == index)
        transforms = _affine(angles[chosen], shears[chosen])
        ink[torch.from_numpy(chosen)] = _draw_ink(font, digits[chosen], transforms)
    return enlarge(ink)


def _affine(angles: np.ndarray, shears: np.ndarray) -> Tensor:
    """Return rotation x shear as `[N, 2, 2]`; its determinant is 1."""
    cos, sin = np.cos(angles), np.sin(angles)
    rows = [[cos, cos * shears - sin], [sin, sin * shears + cos]]
    return torch.from_numpy(np.asarray(rows, dtype=np.float32).transpose(2, 0, 1).copy())


def _draw_ink(font: str, labels: np.ndarray, transforms: Tensor) -> Tensor:
    """Transform glyphs and prepare them as UCI did: box crop, 32x32 bitmap, 4x4 block counts.

    Only the 32x32 bitmap is sampled: its grid is laid over the transformed glyph's bounding box
    and mapped back to the glyph by the inverse transform.
    """
    glyphs = load_glyphs(font)
    digit = torch.from_numpy(labels)
    outline = glyphs.outlines[digit] @ transforms.mT
    low, high = outline.amin(dim=1), outline.amax(dim=1)
    half = ((high - low) / 2).amax(dim=1)[:, None, None]
    steps = (torch.arange(32) + 0.5) / 16 - 1
    grid = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), dim=-1).reshape(1, -1, 2)
    points = (((low + high) / 2)[:, None] + half * grid) @ torch.linalg.inv(transforms).mT
    bitmaps = functional.grid_sample(
        glyphs.bitmaps[digit][:, None], points.view(-1, 32, 32, 2), align_corners=False
    )
    return functional.avg_pool2d((bitmaps > 0.5).float(), 4)[:, 0]


def draw_colours(
    count: int, contrast: float, generator: np.random.Generator
) -> tuple[tuple[float, ...], ...]:
    """Draw pairs of a background's and a foreground's (R, G, B), each in [0, 1].

    Args:
        count: number of pairs.
        contrast: smallest mean distance of the two colours of a pair, in [0, 0.5].
        generator: draws them.
    """
    background = generator.random((count, 3))
    foreground = generator.random((count, 3))
    # Too close a pair gets the opposite colour (0.5 away in each channel) instead of a redraw,
    # so that the number of random draws never depends on their values.
    close = np.abs(foreground - background).mean(axis=1) < contrast
    foreground[close] = (background[close] + 0.5) % 1.0
    pairs = np.concatenate([background, foreground], axis=1).tolist()
    return tuple(tuple(pair) for pair in pairs)
