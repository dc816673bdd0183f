"""Real images: patches of photographs, as the proxy saw them and as the target has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from l2o.envs.tasks.base import Examples
from l2o.envs.tasks.proxy.images import centre
from l2o.envs.tasks.textures.light import Light, relight, turn
from l2o.envs.tasks.textures.photographs import NUM_CLASSES, draw_patches


@dataclass(frozen=True)
class Condition:
    """How real images are taken.

    Attributes:
        scales: photograph pixels per image pixel; each image draws one.
        light: how light varies.
    """

    scales: tuple[float, ...]
    light: Light


PROXY = Condition((1.5, 2.0, 3.0), Light((0.8, 1.25), 0.1, 0.03))
TARGET = Condition((1.5, 2.0, 3.0), Light((0.6, 1.0), 0.1, 0.05))
"""The target's images are taken in duller light."""

ROLES = {
    "proxy_train": (0, 2, 3),
    "proxy_test": (1,),
    "target_validation": (0, 2),
    "target_test": (1, 3),
}
"""Rows of tiles of each role: of the proxy's field, or of the other one."""


def draw_labels(count: int, generator: np.random.Generator) -> np.ndarray:
    """Draw labels, classes balanced, in random order."""
    return generator.permutation(np.arange(count) % NUM_CLASSES)


def draw_real(
    count: int,
    split: str,
    field: str,
    rows: Sequence[int],
    condition: Condition,
    generator: np.random.Generator,
) -> Examples:
    """Draw labelled real images, `[count, 3, 16, 16]` in [-1, 1], classes balanced."""
    labels = draw_labels(count, generator)
    patches = draw_patches(labels, split, field, rows, condition.scales, generator)
    images = relight(turn(patches, generator), condition.light, generator)
    return Examples(centre(images), torch.from_numpy(labels))
