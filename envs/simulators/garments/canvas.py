"""From outlines to pixels: garments in their place, painted several times as large."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from l2o.envs.simulators.garments.outline import Garment, Line, Points

Field = NDArray[np.float32]
"""`[S, S]`."""

DETAIL = 4
"""Garments are painted so many times larger and then reduced, for smooth edges."""


@dataclass(frozen=True)
class Pose:
    """How a garment lies in the image.

    Attributes:
        turn: matrix `[2, 2]` on points: rotation, shear, stretch, mirror.
        size: of its longer side, as a share of the image's.
        x: move to the right, as a share of the image's width.
        y: move down.
    """

    turn: NDArray[np.float64]
    size: float
    x: float
    y: float


@dataclass(frozen=True)
class Painting:
    """A garment several times as large as its image.

    Attributes:
        tone: brightness, as a factor on the cloth's, or of white; 0 on the ground.
        cloth: where there is cloth.
        covered: where there is garment.
    """

    tone: Field
    cloth: NDArray[np.bool_]
    covered: NDArray[np.bool_]


def paint(garment: Garment, pose: Pose, side: int) -> Painting:
    """Paint a garment: its longer side fills a share of the image, as photographs are trimmed.

    Args:
        garment: its parts and lines, at most 127.
        pose: how it lies.
        side: height and width of the painting.
    """
    placed, scale = _place(garment, pose, side)
    page, marks = (Image.new("L", (side, side)) for _ in range(2))
    pens = ImageDraw.Draw(page), ImageDraw.Draw(marks)
    tones, cloths = np.zeros(256, np.float32), np.zeros(256, bool)
    for number, (shape, points) in enumerate(zip(garment.shapes, placed, strict=True), start=1):
        tones[number], cloths[number] = shape.tone, shape.cloth
        corners = points.ravel().tolist()
        if isinstance(shape, Line):
            width = max(1, round(shape.width * scale))
            pens[shape.seam].line(corners, fill=number, width=width, joint="curve")
        else:
            pens[0].polygon(corners, fill=number)
    below, above = np.asarray(page), np.asarray(marks)
    # Seams are on the garment only: what lies on the ground of them is none.
    shown = np.where((above > 0) & (below > 0), above, below)
    return Painting(tones[shown], cloths[shown], shown > 0)


def _place(garment: Garment, pose: Pose, side: int) -> tuple[list[Points], float]:
    """Return the points of all shapes in pixels, and pixels per unit of the garment."""
    turned = [shape.points @ pose.turn.T for shape in garment.shapes]
    outer = np.concatenate(
        [
            points
            for shape, points in zip(garment.shapes, turned, strict=True)
            if not (isinstance(shape, Line) and shape.seam)
        ]
    )
    low, high = outer.min(axis=0), outer.max(axis=0)
    scale = side * pose.size / float((high - low).max())
    middle = 0.5 * side + side * np.array([pose.x, pose.y])
    return [(points - 0.5 * (low + high)) * scale + middle for points in turned], scale
