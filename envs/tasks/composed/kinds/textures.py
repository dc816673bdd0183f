"""Patches of photographs against what is made of a few of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from l2o.envs.tasks.composed.kinds.base import DataKind
from l2o.envs.tasks.textures.light import Light, relight, turn
from l2o.envs.tasks.textures.photographs import NUM_CLASSES, PHOTOGRAPHS, draw_patches
from l2o.envs.tasks.textures.synthetic import randomise_phases

TILES = {
    "source": ("black", (0, 2, 3)),
    "proxy": ("black", (0, 2, 3)),
    "proxy_test": ("black", (1,)),
    "validation": ("white", (0, 2)),
    "test": ("white", (1, 3)),
}
"""Field and rows of tiles of each role: proxy, validation and test share no pixel."""

SCALES = (1.5, 2.0, 3.0)
SURROGATES = ("phases", "blocks", "colours")


@dataclass(frozen=True)
class Surrogate:
    """The source's look.

    Attributes:
        made: "phases": noise of a patch's spectrum; "blocks": its 4x4 blocks shuffled; "colours":
            its pixels shuffled.
        seed: draws the patches that it is made of.
        exemplars: how many of each class.
        light: how light varies.
    """

    made: str
    seed: int
    exemplars: int
    light: Light


class Textures(DataKind):
    """Which photograph is a patch of? Photographs of scikit-image, as in `textures`.

    The source is made of a few patches that the proxy may have seen: noise with their spectrum,
    their blocks in another order, or their pixels in another order.

    Raises:
        MissingExtraError: scikit-image is not installed.
    """

    name: ClassVar[str] = "textures"
    num_classes: ClassVar[int] = NUM_CLASSES

    def draw_look(self, side: str, generator: np.random.Generator) -> Surrogate | Light:
        """Draw a light, and what the source is made of."""
        contrast = float(generator.uniform(1.05, 1.5))
        span = (1.0 / contrast, 1.0 if side == "target" else contrast)
        brightness, tint = (float(each) for each in generator.uniform(0.02, 0.12, 2))
        light = Light(span, brightness, tint / 2)
        if side == "target":
            return light
        made = SURROGATES[int(generator.integers(len(SURROGATES)))]
        seed, exemplars = int(generator.integers(2**31)), int(generator.integers(2, 9))
        return Surrogate(made, seed, exemplars, light)

    def draw(
        self,
        classes: np.ndarray,
        look: Surrogate | Light,
        role: str,
        generator: np.random.Generator,
    ) -> Tensor:
        """Draw patches, or what is made of some."""
        if isinstance(look, Light):
            return relight(turn(self._cut(classes, role, generator), generator), look, generator)
        every = np.repeat(np.arange(len(PHOTOGRAPHS[self.split])), look.exemplars)
        patches = self._cut(every, "source", np.random.default_rng(look.seed))
        picks = generator.integers(look.exemplars, size=len(classes))
        exemplars = patches[torch.from_numpy(classes * look.exemplars + picks)]
        return relight(_make(look.made, exemplars, generator), look.light, generator)

    def _cut(self, classes: np.ndarray, role: str, generator: np.random.Generator) -> Tensor:
        field, rows = TILES[role]
        return draw_patches(classes, self.split, field, rows, SCALES, generator)


def _make(made: str, patches: Tensor, generator: np.random.Generator) -> Tensor:
    """Return surrogates of patches `[N, 3, 16, 16]`."""
    if made == "phases":
        return randomise_phases(patches, generator)
    block = 4 if made == "blocks" else 1
    across = patches.shape[-1] // block
    parts = patches.unfold(2, block, block).unfold(3, block, block).flatten(2, 3)
    order = generator.permuted(np.tile(np.arange(across**2), (len(patches), 1)), axis=1)
    index = torch.from_numpy(order)[:, None, :, None, None].expand_as(parts)
    mixed = parts.gather(2, index).unflatten(2, (across, across))
    return mixed.permute(0, 1, 2, 4, 3, 5).reshape(patches.shape)
