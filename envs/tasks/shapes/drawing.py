"""Drawing scenes: shapes in three hues, on flat or textured ground, with a label for each pixel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from l2o.envs.tasks.base import Examples
from l2o.envs.tasks.proxy.images import SIDE, centre

CLASSES = ("background", "circle", "square", "triangle")
HUES = ("background", "red", "green", "blue")
"""What the proxy tells apart, in the same scenes."""

VOID = 255
"""Label of the pixels around a shape, which count nowhere."""

_OBJECTS = 2
"""Shapes in a scene; the later one lies in front."""


@dataclass(frozen=True)
class Scenery:
    """How scenes look.

    Attributes:
        texture: contrast of the ground's stripes; 0 is flat.
        angle: of the stripes, in radians; scenes deviate from it by up to a quarter turn.
        shade: how much darker one side of a scene may be than the other.
        noise: standard deviation of each pixel.
    """

    texture: float
    angle: float
    shade: float
    noise: float


def draw_scenes(
    count: int, scenery: Scenery, generator: np.random.Generator, by_hue: bool = False
) -> Examples:
    """Draw labelled scenes: images `[count, 3, 16, 16]` in [-1, 1], labels `[count, 16, 16]`.

    Args:
        count: how many.
        scenery: how they look.
        generator: what everything is drawn from.
        by_hue: whether a label tells the hue of a shape instead of its kind.
    """
    pixels = _ground(count, scenery, generator)
    labels = torch.zeros(count, SIDE, SIDE, dtype=torch.int64)
    for _ in range(_OBJECTS):
        kinds, hues = (torch.from_numpy(generator.integers(1, 4, size=count)) for _ in range(2))
        mask = _mask(kinds, generator)
        colour = 0.25 + 0.6 * functional.one_hot(hues - 1, 3) + _normal((count, 3), 0.05, generator)
        pixels = torch.where(mask[:, None], colour.float()[:, :, None, None], pixels)
        around = functional.max_pool2d(mask[:, None].float(), 3, stride=1, padding=1)[:, 0] > 0
        told = hues if by_hue else kinds
        labels = torch.where(around, VOID, labels)
        labels = torch.where(mask, told[:, None, None], labels)
    pixels = pixels * _shade(count, scenery, generator)
    pixels = pixels + _normal(pixels.shape, scenery.noise, generator)
    return Examples(centre(pixels.clamp(0.0, 1.0)), labels)


def _ground(count: int, scenery: Scenery, generator: np.random.Generator) -> Tensor:
    """Return grey grounds with stripes `[count, 3, 16, 16]`."""
    angle, phase, width = (
        _uniform(count, low, high, generator)
        for low, high in (
            (scenery.angle - np.pi / 4, scenery.angle + np.pi / 4),
            (0.0, 2 * np.pi),
            (0.8, 1.6),
        )
    )
    grey = _uniform(count, 0.3, 0.6, generator)
    along = torch.cos(angle) * _COLUMNS + torch.sin(angle) * _ROWS
    ground = grey + scenery.texture * torch.sin(along * width + phase)
    return ground[:, None].expand(-1, 3, -1, -1)


def _mask(kinds: Tensor, generator: np.random.Generator) -> Tensor:
    """Return which pixels a shape of each kind covers `[N, 16, 16]`."""
    count = len(kinds)
    x, y = (_COLUMNS - _uniform(count, 4, 11, generator), _ROWS - _uniform(count, 4, 11, generator))
    size = _uniform(count, 2.5, 4.5, generator)
    circle = x.square() + y.square() <= size.square()
    square = torch.maximum(x.abs(), y.abs()) <= 0.8 * size
    triangle = (y <= 0.8 * size) & (x.abs() <= 0.6 * (y + size))
    kind = kinds[:, None, None]
    return torch.where(kind == 1, circle, torch.where(kind == 2, square, triangle))


def _shade(count: int, scenery: Scenery, generator: np.random.Generator) -> Tensor:
    """Return factors on pixels that fall from left to right `[count, 1, 16, 16]`."""
    depth = _uniform(count, 0.0, scenery.shade, generator)
    return (1.0 - depth * _COLUMNS / (SIDE - 1))[:, None]


def _uniform(count: int, low: float, high: float, generator: np.random.Generator) -> Tensor:
    return torch.from_numpy(generator.uniform(low, high, size=(count, 1, 1))).float()


def _normal(shape: tuple[int, ...], scale: float, generator: np.random.Generator) -> Tensor:
    return torch.from_numpy(generator.standard_normal(shape)).float() * scale


_ROWS = torch.arange(SIDE, dtype=torch.float32)[None, :, None]
_COLUMNS = torch.arange(SIDE, dtype=torch.float32)[None, None, :]
