"""Drawn images: shapes in flat colours are the source, shapes in clutter and blur the target."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from math import cos, pi, sin

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter
from torch import Tensor

Points = list[tuple[float, float]]
Pixels = NDArray[np.float32]
Polygons = list[tuple[Points, int]]
"""Polygons in [-1, 1], drawn one over the other; 1 adds to the shape, 0 cuts out of it."""

SIZE = 64
DETAIL = 3
"""Shapes are drawn so many times larger and then reduced, for smooth edges."""


def _ring_of(corners: int, inner: float = 1.0, x: float = 0.0, scale: float = 1.0) -> Points:
    """Return the corners of a regular polygon, every other one at the radius `inner`."""
    radii = [scale * (inner if corner % 2 else 1.0) for corner in range(corners)]
    turns = [2 * pi * corner / corners - pi / 2 for corner in range(corners)]
    return [(x + r * cos(turn), r * sin(turn)) for r, turn in zip(radii, turns)]


def _box(left: float, top: float, right: float, bottom: float) -> Points:
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


SHAPES: dict[str, Polygons] = {
    "circle": [(_ring_of(40), 1)],
    "square": [(_box(-0.8, -0.8, 0.8, 0.8), 1)],
    "triangle": [(_ring_of(3), 1)],
    "cross": [(_box(-0.3, -1, 0.3, 1), 1), (_box(-1, -0.3, 1, 0.3), 1)],
    "star": [(_ring_of(10, 0.42), 1)],
    "ring": [(_ring_of(40), 1), (_ring_of(40, scale=0.6), 0)],
    "bars": [(_box(-0.9, -0.8, -0.3, 0.8), 1), (_box(0.3, -0.8, 0.9, 0.8), 1)],
    "arrow": [(_box(-1, -0.25, 0.1, 0.25), 1), ([(0, -0.8), (1, 0), (0, 0.8)], 1)],
}
"""The classes of source and target."""
PROXY_SHAPES: dict[str, Polygons] = {
    "crescent": [(_ring_of(40), 1), (_ring_of(40, x=0.5, scale=0.85), 0)],
    "tee": [(_box(-0.9, -0.9, 0.9, -0.4), 1), (_box(-0.3, -0.9, 0.3, 1), 1)],
    "ell": [(_box(-0.8, -1, -0.2, 1), 1), (_box(-0.8, 0.4, 0.9, 1), 1)],
    "frame": [(_box(-0.9, -0.9, 0.9, 0.9), 1), (_box(-0.5, -0.5, 0.5, 0.5), 0)],
    "kite": [([(0, -1), (0.5, 0), (0, 1), (-0.5, 0)], 1)],
    "hourglass": [([(-0.8, -0.9), (0.8, -0.9), (-0.8, 0.9), (0.8, 0.9)], 1)],
    "zigzag": [
        ([(-1, 0.5), (-0.4, -0.7), (0.1, 0.1), (0.6, -0.7), (1, 0.3), (0.6, 0), (0.1, 0.9)], 1)
    ],
    "burst": [(_ring_of(24, 0.6), 1)],
}
"""The classes that the small networks are pretrained on."""


def _mask(shape: Polygons, rng: np.random.Generator, turn: float, spread: float) -> Pixels:
    """Draw a shape, white on black, turned, moved and scaled at random: `[SIZE, SIZE]`."""
    side = SIZE * DETAIL
    page = Image.new("L", (side, side))
    pen = ImageDraw.Draw(page)
    angle, radius = rng.uniform(-turn, turn), side * rng.uniform(0.22, 0.36)
    x, y = side / 2 + side * rng.uniform(-spread, spread, 2)
    for points, fill in shape:
        moved = [
            (
                x + radius * (a * cos(angle) - b * sin(angle)),
                y + radius * (a * sin(angle) + b * cos(angle)),
            )
            for a, b in points
        ]
        pen.polygon(moved, fill=255 * fill)
    reduced = page.resize((SIZE, SIZE), Image.Resampling.BOX)
    return (np.asarray(reduced)[..., None] / 255).astype(np.float32)


def _two_colours(rng: np.random.Generator) -> tuple[Pixels, Pixels]:
    """Draw a dark colour and a bright one, so that small networks soon tell shape from ground."""
    return rng.uniform(0, 110, 3).astype(np.float32), rng.uniform(145, 255, 3).astype(np.float32)


def draw_flat(shape: Polygons, rng: np.random.Generator) -> Pixels:
    """Draw the source style: a bright shape, flat and nearly upright, on a dark ground."""
    mask = _mask(shape, rng, turn=0.25, spread=0.06)
    background, colour = _two_colours(rng)
    return background * (1 - mask) + colour * mask


def draw_cluttered(shape: Polygons, rng: np.random.Generator) -> Pixels:
    """Draw the target style: textures, clutter, blur and noise."""
    mask = _mask(shape, rng, turn=0.5, spread=0.1)
    background, colour = _two_colours(rng)
    page = _texture(rng, 60) + background
    rows, columns = np.mgrid[:SIZE, :SIZE] * rng.uniform(0.2, 0.9, (2, 1, 1))
    stripes = 35 * np.sin(rows + columns)[..., None]
    picture = Image.fromarray(_bytes(page * (1 - mask) + (colour + stripes) * mask))
    pen = ImageDraw.Draw(picture)
    for _ in range(3):
        ends = tuple(rng.integers(0, SIZE, 4).tolist())
        pen.line(ends, fill=tuple(rng.integers(0, 256, 3).tolist()), width=1)
    blurred = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.3)))
    return np.asarray(blurred, np.float32) + rng.normal(0, 8, (SIZE, SIZE, 3)).astype(np.float32)


def _texture(rng: np.random.Generator, strength: float) -> Pixels:
    """Draw a cloud: noise of 6 x 6 pixels, enlarged."""
    coarse = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
    cloud = coarse.resize((SIZE, SIZE), Image.Resampling.BICUBIC)
    return (np.asarray(cloud, np.float32) / 127.5 - 1) * strength


def _bytes(pixels: Pixels) -> NDArray[np.uint8]:
    return pixels.clip(0, 255).astype(np.uint8)


STYLES: dict[str, Callable[[Polygons, np.random.Generator], Pixels]] = {
    "flat": draw_flat,
    "cluttered": draw_cluttered,
}


@cache
def drawn(style: str, count: int, seed: int, proxy: bool = False) -> tuple[Tensor, Tensor]:
    """Return images `[N, 3, 64, 64]`, about [-1, 1], and labels `[N]`, all classes alike often.

    Args:
        style: a name of `STYLES`.
        count: how many.
        seed: of colours, places, textures and noise.
        proxy: shapes of the proxy, not of the task.
    """
    rng = np.random.default_rng([seed, len(style), proxy])
    shapes: Sequence[Polygons] = list((PROXY_SHAPES if proxy else SHAPES).values())
    labels = np.arange(count) % len(shapes)
    pages = np.stack([_bytes(STYLES[style](shapes[label], rng)) for label in labels.tolist()])
    images = (torch.from_numpy(pages).float() - 127) / 128
    return images.permute(0, 3, 1, 2).contiguous(), torch.from_numpy(labels)
