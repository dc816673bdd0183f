"""Simple shapes across styles of drawing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from l2o.envs.tasks.composed.kinds.base import DataKind
from l2o.envs.tasks.composed.kinds.figures import FIGURES
from l2o.envs.tasks.composed.kinds.ink import (
    Palette,
    Pose,
    draw_palette,
    draw_places,
    paint,
    shade,
)

STYLES = {"source": ("filled", "outline"), "target": ("sketched", "striped", "dotted", "filled")}
"""Styles of each side; a look has one or two of its side's."""


@dataclass(frozen=True)
class Drawing:
    """A look: styles, of which each image has one, colours and pose."""

    styles: tuple[str, ...]
    palette: Palette
    pose: Pose


class Icons(DataKind):
    """Circle, square, star, arrow, ... as figures of a signed distance, in a style of drawing.

    The source's are filled or outlined; the target's are sketched by an unsteady hand, hatched,
    dotted, or filled, too.
    """

    name: ClassVar[str] = "icons"
    num_classes: ClassVar[int] = len(FIGURES)

    def draw_look(self, side: str, generator: np.random.Generator) -> Drawing:
        """Draw styles, colours and pose."""
        target = side == "target"
        count = int(generator.integers(1, 3))
        styles = generator.choice(STYLES[side], count, replace=False)
        return Drawing(
            styles=tuple(sorted(str(style) for style in styles)),
            palette=draw_palette((4, 20), generator),
            pose=Pose(float(generator.uniform(5.0, 30.0 if target else 12.0)), 0.25, 0.15),
        )

    def draw(
        self, classes: np.ndarray, look: Drawing, role: str, generator: np.random.Generator
    ) -> Tensor:
        """Draw icons."""
        count = len(classes)
        styles = generator.integers(len(look.styles), size=count)
        x, y = draw_places(count, look.pose, generator)
        waves = torch.from_numpy(
            generator.uniform(0.0, 2 * np.pi, (4, count, 1)).astype(np.float32)
        )
        ink = torch.empty(count, 256)
        for number, style in enumerate(look.styles):
            wanted = torch.from_numpy(np.flatnonzero(styles == number))
            kinds = classes[wanted.numpy()]
            ink[wanted] = _draw(style, kinds, x[wanted], y[wanted], waves[:, wanted])
        return paint(ink.view(-1, 16, 16), look.palette, generator)


def _draw(style: str, classes: np.ndarray, x: Tensor, y: Tensor, waves: Tensor) -> Tensor:
    """Return the ink of icons `[N, 256]` in a style; `waves` are four phases of each."""
    if style == "sketched":
        # An unsteady hand: places shift along slow waves.
        x, y = (
            x + 0.09 * torch.sin(5.0 * y + waves[0]) + 0.05 * torch.sin(9.0 * x + waves[2]),
            y + 0.09 * torch.sin(5.0 * x + waves[1]) + 0.05 * torch.sin(9.0 * y + waves[3]),
        )
    distance = torch.empty_like(x)
    for figure in np.unique(classes):
        wanted = torch.from_numpy(np.flatnonzero(classes == figure))
        distance[wanted] = list(FIGURES.values())[figure](x[wanted], y[wanted])
    if style == "filled":
        return shade(distance)
    if style in ("outline", "sketched"):
        return shade(distance.abs() - 0.1)
    angle = waves[2] if style == "striped" else torch.zeros_like(waves[2])
    along = torch.sin(9.0 * (angle.cos() * x + angle.sin() * y) + waves[0])
    across = torch.sin(9.0 * y + waves[1])
    pattern = along if style == "striped" else torch.minimum(along, across)
    return shade(distance) * (0.25 + 0.75 * torch.sigmoid(4.0 * pattern))
