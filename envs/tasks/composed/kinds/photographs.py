"""Patches of photographs against patches of elsewhere in them, taken otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from torch import Tensor

from l2o.envs.tasks.composed.kinds.base import DataKind
from l2o.envs.tasks.composed.kinds.textures import TILES
from l2o.envs.tasks.textures.light import Light, relight, turn
from l2o.envs.tasks.textures.photographs import NUM_CLASSES, draw_patches


@dataclass(frozen=True)
class Camera:
    """A look.

    Attributes:
        scales: photograph pixels per image pixel; each image draws one.
        light: how light varies.
        levels: shades of a colour that are told apart; 0 for all.
        grey: share of the colour that is gone.
        turned: whether images are turned and mirrored.
    """

    scales: tuple[float, ...]
    light: Light
    levels: int
    grey: float
    turned: bool


class Photographs(DataKind):
    """Which photograph is a patch of? The gap is made: another zoom, light, depth of colour.

    The source's patches are of the tiles that the proxy may have seen, posterised and greyed; the
    target's are of the others.

    Raises:
        MissingExtraError: scikit-image is not installed.
    """

    name: ClassVar[str] = "photographs"
    num_classes: ClassVar[int] = NUM_CLASSES

    def draw_look(self, side: str, generator: np.random.Generator) -> Camera:
        """Draw a camera."""
        target = side == "target"
        scales = ((1.0, 1.5), (1.5, 2.0), (2.0, 3.0)) if target else ((1.5, 2.0), (3.0, 4.0))
        contrast = float(generator.uniform(1.1, 1.8))
        brightness, tint = (float(each) for each in generator.uniform(0.02, 0.12, 2))
        return Camera(
            scales=scales[int(generator.integers(len(scales)))],
            light=Light((1.0 / contrast, 1.0 if target else contrast), brightness, tint),
            levels=0 if target else int((0, 3, 5)[int(generator.integers(3))]),
            grey=0.0 if target else float(generator.uniform(0.0, 1.0)),
            turned=target or bool(generator.random() < 0.5),
        )

    def draw(
        self, classes: np.ndarray, look: Camera, role: str, generator: np.random.Generator
    ) -> Tensor:
        """Draw patches."""
        field, rows = TILES[role]
        patches = draw_patches(classes, self.split, field, rows, look.scales, generator)
        if look.turned:
            patches = turn(patches, generator)
        grey = patches.mean(dim=1, keepdim=True)
        patches = patches + look.grey * (grey - patches)
        images = relight(patches, look.light, generator)
        if look.levels:
            images = (images * (look.levels - 1)).round() / (look.levels - 1)
        return images
