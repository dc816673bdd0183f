"""Gratings, checks, rings, blobs: pure patterns in clean waves against others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from l2o.envs.tasks.composed.kinds.base import DataKind
from l2o.envs.tasks.composed.kinds.ink import Palette, Pose, draw_palette, draw_places, paint

Phases = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Waves:
    """A look: colours, pose, range of frequencies, sharpness of edges, and grain on top.

    Attributes:
        frequency: range of waves in half a side, of which each image draws one.
        sharpness: small for sine waves, large for square ones.
        grain: standard deviation of white noise that is added to the wave.
    """

    palette: Palette
    pose: Pose
    frequency: tuple[float, float]
    sharpness: float
    grain: float


def _wave(value: Tensor) -> Tensor:
    return torch.sin(2 * np.pi * value)


def _radius(x: Tensor, y: Tensor) -> Tensor:
    return (x.square() + y.square() + 1e-6).sqrt()


def _gabor(along: Tensor, x: Tensor, y: Tensor) -> Tensor:
    return _wave(along) * torch.exp(-3.0 * (x.square() + y.square()))


PATTERNS: dict[str, Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]] = {
    "upright": lambda x, y, f, p, q: _wave(f * x + p),
    "level": lambda x, y, f, p, q: _wave(f * y + p),
    "rising": lambda x, y, f, p, q: _wave(0.7 * f * (x + y) + p),
    "falling": lambda x, y, f, p, q: _wave(0.7 * f * (x - y) + p),
    "checks": lambda x, y, f, p, q: 1.5 * _wave(f * x + p) * _wave(f * y + q),
    "lozenges": lambda x, y, f, p, q: (
        1.5 * _wave(0.7 * f * (x + y) + p) * _wave(0.7 * f * (x - y) + q)
    ),
    "rings": lambda x, y, f, p, q: _wave(f * _radius(x, y) + p),
    "rays": lambda x, y, f, p, q: torch.sin(6.0 * torch.atan2(y, x) + 6.3 * p),
    "spiral": lambda x, y, f, p, q: torch.sin(
        2.0 * torch.atan2(y, x) + 6.3 * (f * _radius(x, y) + p)
    ),
    "dots": lambda x, y, f, p, q: torch.minimum(_wave(f * x + p), _wave(f * y + q)) + 0.3,
    "plaid": lambda x, y, f, p, q: torch.maximum(_wave(f * x + p), _wave(f * y + q)) - 0.3,
    "upright_gabor": lambda x, y, f, p, q: 1.5 * _gabor(f * x + p, x, y),
    "level_gabor": lambda x, y, f, p, q: 1.5 * _gabor(f * y + p, x, y),
    "waves": lambda x, y, f, p, q: _wave(f * x + 0.25 * torch.sin(6.3 * y + 6.3 * q) + p),
}
"""A pattern of places x and y `[N, P]`, frequency and two phases `[N, 1]`, in about [-1, 1]."""


class Patterns(DataKind):
    """Patterns of waves, in other frequencies and colours, blurred or square, clean or grainy."""

    name: ClassVar[str] = "patterns"
    num_classes: ClassVar[int] = len(PATTERNS)

    def draw_look(self, side: str, generator: np.random.Generator) -> Waves:
        """Draw colours, pose, frequencies and edges."""
        target = side == "target"
        low = float(generator.uniform(1.2, 2.2) if target else generator.uniform(0.8, 1.6))
        return Waves(
            palette=draw_palette((4, 20), generator),
            pose=Pose(float(generator.uniform(0.0, 15.0 if target else 8.0)), 0.1, 0.3),
            frequency=(low, low + float(generator.uniform(0.1, 0.8))),
            sharpness=float(np.exp(generator.uniform(0.0, 2.5))),
            grain=float(generator.uniform(0.1, 0.6)) if target else 0.0,
        )

    def draw(
        self, classes: np.ndarray, look: Waves, role: str, generator: np.random.Generator
    ) -> Tensor:
        """Draw patterns."""
        count = len(classes)
        x, y = draw_places(count, look.pose, generator)
        drawn = generator.random((3, count, 1)).astype(np.float32)
        frequency, first, second = torch.from_numpy(drawn)
        low, high = look.frequency
        frequency = low + (high - low) * frequency
        value = torch.empty_like(x)
        for number in np.unique(classes):
            at = torch.from_numpy(np.flatnonzero(classes == number))
            make = list(PATTERNS.values())[number]
            value[at] = make(x[at], y[at], frequency[at], first[at], second[at])
        if look.grain:
            noise = generator.standard_normal((count, x.shape[1])).astype(np.float32)
            value = value + look.grain * torch.from_numpy(noise)
        ink = torch.sigmoid(look.sharpness * value)
        return paint(ink.view(-1, 16, 16), look.palette, generator)
