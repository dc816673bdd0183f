"""Pretraining of the proxy: real digits of some writers on patches of one photograph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from l2o.envs.tasks.base import Examples
from l2o.envs.tasks.digits.real import draw_real
from l2o.envs.tasks.digits.writers import images_of
from l2o.envs.tasks.proxy import NETWORKS, ProxyRecipe

TEST_SHARE = 0.2
"""Share of the proxy writers' images that is kept out of pretraining, to score the proxy on."""


@dataclass(frozen=True, kw_only=True)
class Recipe(ProxyRecipe):
    """Everything that determines a pretrained network of this family.

    Attributes:
        writers: blocks of digits to train on.
        photograph: the background's name; of it, the split's half is used.
    """

    kind: ClassVar[str] = "digits"
    version: ClassVar[int] = 4
    num_classes: ClassVar[int] = 10

    writers: tuple[int, ...]
    photograph: str

    @property
    def entropy(self) -> list[int]:
        """What weights and data are seeded with."""
        other = self.architecture != "conv"
        rest = [list(NETWORKS).index(self.architecture)] if other else []
        return [ord(self.split[0]), self.network, self.width, self.depth, *rest]

    def draw(self, count: int, generator: np.random.Generator) -> Examples:
        """Draw digits that are trained on, with varied colours and strokes."""
        indices = generator.choice(self.train_images, count)
        return draw_real(indices, self.photograph, self.split, generator, vary=True)

    @property
    def train_images(self) -> np.ndarray:
        """Indices of the digits trained on."""
        return np.setdiff1d(images_of(self.writers), self.test_images)

    @property
    def test_images(self) -> np.ndarray:
        """Indices of the digits of the same writers that are kept out."""
        images = images_of(self.writers)
        # At random: digits were written in order, so every fifth is nearly always a 0 or a 5.
        generator = np.random.default_rng([*self.entropy, 2])
        return np.sort(generator.choice(images, int(TEST_SHARE * len(images)), replace=False))
