"""One digit's ink, prepared like UCI's scans: plain arithmetic on arrays, image by image."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from l2o.envs.tasks.digits.fonts import CANVAS, load_glyphs

Numbers = NDArray[np.float64]
BITMAP, BLOCK = 32, 4
"""Height and width of the bitmap that a digit is scanned to, and of the blocks that are counted."""


def draw_digit(font: str, digit: int, angle: float, shear: float) -> Numbers:
    """Return a turned and sheared digit as ink in [0, 1], `[16, 16]`.

    As UCI prepared handwriting: the digit's box is laid over a bitmap of 32 x 32, ink is counted in
    blocks of 4 x 4, and the 8 x 8 counts are enlarged bilinearly. It is what the task family does
    for many images at once (`l2o.envs.tasks.digits.synthetic.draw_ink`), but for rounding; a single
    image takes a tenth of the time here.

    Args:
        font: one that matplotlib ships.
        digit: 0 to 9.
        angle: rotation, in radians.
        shear: as a share of the height.
    """
    bitmap, outline = _glyph(font, digit)
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.array([[cos, cos * shear - sin], [sin, sin * shear + cos]])
    points = outline @ turn.T
    low, high = points.min(axis=0), points.max(axis=0)
    # The determinant is 1, so the inverse is the adjugate.
    back = np.array([[turn[1, 1], -turn[0, 1]], [-turn[1, 0], turn[0, 0]]])
    places = (low + high) / 2 + (high - low).max() / 2 * _grid()
    inked = _sample(bitmap, places @ back.T) > 0.5
    scanned = inked.reshape(BITMAP // BLOCK, BLOCK, BITMAP // BLOCK, BLOCK).mean(axis=(1, 3))
    enlarge = _enlarging(BITMAP // BLOCK)
    return np.asarray(enlarge @ scanned @ enlarge.T)


def _sample(bitmap: Numbers, places: Numbers) -> Numbers:
    """Return a bitmap's values at places (x, y) in [-1, 1], bilinearly, 0 outside, `[P]`."""
    at = (places + 1.0) * (CANVAS / 2) - 0.5 + 1.0
    at = np.clip(at, 0.0, CANVAS + 0.999)
    first = at.astype(np.int64)
    x, y = (at - first).T
    left, top = first.T
    upper = (1 - x) * bitmap[top, left] + x * bitmap[top, left + 1]
    lower = (1 - x) * bitmap[top + 1, left] + x * bitmap[top + 1, left + 1]
    return np.asarray((1 - y) * upper + y * lower)


@cache
def _glyph(font: str, digit: int) -> tuple[Numbers, Numbers]:
    """Return a digit's bitmap with an empty frame of one pixel, and its outline."""
    glyphs: Any = load_glyphs(font)
    bitmap = np.pad(glyphs.bitmaps[digit].numpy().astype(np.float64), 1)
    return np.pad(bitmap, (0, 1)), glyphs.outlines[digit].numpy().astype(np.float64)


@cache
def _grid() -> Numbers:
    """Return the middles of the bitmap's pixels, row by row, as (x, y) in [-1, 1]."""
    steps = (np.arange(BITMAP) + 0.5) / (BITMAP / 2) - 1.0
    return np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)


@cache
def _enlarging(side: int) -> Numbers:
    """Return the matrix that doubles a side bilinearly, `[2 side, side]`."""
    at = np.clip((np.arange(2 * side) + 0.5) / 2 - 0.5, 0, side - 1)
    first = np.minimum(at.astype(np.int64), side - 2)
    matrix = np.zeros((2 * side, side))
    matrix[np.arange(2 * side), first] = 1 - (at - first)
    matrix[np.arange(2 * side), first + 1] = at - first
    return matrix
