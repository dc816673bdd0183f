"""Invented letters: a pen's clean strokes against a hand's."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from l2o.envs.tasks.composed.kinds.base import DataKind
from l2o.envs.tasks.composed.kinds.ink import (
    Palette,
    Pose,
    draw_palette,
    draw_places,
    paint,
    shade,
)

_LETTERS, _STROKES, _POINTS = 40, 3, 4
_SPLITS = ("train", "heldout")


@dataclass(frozen=True)
class Hand:
    """A look: colours and pose, how thick strokes are, and how far from the letter they go.

    Attributes:
        width: range of the strokes' half width, in half sides.
        jitter: standard deviation of the strokes' control points.
    """

    palette: Palette
    pose: Pose
    width: tuple[float, float]
    jitter: float


class Alphabets(DataKind):
    """Letters of three curved strokes each, which nobody writes; each split has its own.

    The source's are exact and thin; the target's are written: control points move from image to
    image, strokes are of any width.
    """

    name: ClassVar[str] = "alphabets"
    num_classes: ClassVar[int] = _LETTERS

    def draw_look(self, side: str, generator: np.random.Generator) -> Hand:
        """Draw colours, pose and a hand."""
        target = side == "target"
        low, high = (0.06, 0.2) if target else (0.05, 0.09)
        thin = float(generator.uniform(low, (low + high) / 2))
        return Hand(
            palette=draw_palette((4, 20), generator),
            pose=Pose(float(generator.uniform(5.0, 25.0 if target else 10.0)), 0.15, 0.12),
            width=(thin, thin + float(generator.uniform(0.0, high - thin))),
            jitter=float(generator.uniform(0.03, 0.08)) if target else 0.0,
        )

    def draw(
        self, classes: np.ndarray, look: Hand, role: str, generator: np.random.Generator
    ) -> Tensor:
        """Draw letters."""
        count = len(classes)
        controls = invent_letters(self.split)[torch.from_numpy(classes)]
        jitter = torch.from_numpy(generator.standard_normal(controls.shape).astype(np.float32))
        lines = trace(controls + look.jitter * jitter)
        x, y = draw_places(count, look.pose, generator)
        distance = _distance(torch.stack([x, y], dim=-1), lines)
        width = torch.from_numpy(generator.uniform(*look.width, (count, 1)).astype(np.float32))
        return paint(shade(distance - width).view(-1, 16, 16), look.palette, generator)


@cache
def invent_letters(split: str) -> Tensor:
    """Draw the control points of a split's letters, `[letters, strokes, 3, 2]` in [-0.75, 0.75]."""
    generator = np.random.default_rng([11, _SPLITS.index(split)])
    points = generator.uniform(-0.75, 0.75, (_LETTERS, _STROKES, 3, 2))
    return torch.from_numpy(points.astype(np.float32))


def trace(controls: Tensor) -> Tensor:
    """Return points on quadratic Bézier curves, `[..., 3, 2]` -> `[..., 4, 2]`."""
    t = torch.linspace(0.0, 1.0, _POINTS)
    weights = torch.stack([(1 - t) ** 2, 2 * t * (1 - t), t**2], dim=1)
    return weights @ controls


def _distance(places: Tensor, lines: Tensor) -> Tensor:
    """Return each place's distance `[N, P]` to the nearest segment of lines `[N, S, 4, 2]`."""
    start, end = lines[:, :, :-1].flatten(1, 2), lines[:, :, 1:].flatten(1, 2)
    nearest: Tensor | None = None
    for first, last in zip(start.unbind(1), end.unbind(1), strict=True):
        along = (last - first)[:, None]
        offset = places - first[:, None]
        length = along.square().sum(-1).clamp(min=1e-9)
        share = ((offset * along).sum(-1) / length).clamp(0.0, 1.0)
        squared = (offset - share[..., None] * along).square().sum(-1)
        nearest = squared if nearest is None else torch.minimum(nearest, squared)
    assert nearest is not None
    return nearest.sqrt()
