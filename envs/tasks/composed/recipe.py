"""Pretraining of a network of this family, and the target that it was pretrained towards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch

from l2o.envs.tasks.base import Examples
from l2o.envs.tasks.composed.pretraining import PRETRAINING
from l2o.envs.tasks.composed.splits import SPLITS
from l2o.envs.tasks.composed.world import World
from l2o.envs.tasks.proxy import NETWORKS, ProxyRecipe

STREAM = 11
"""Keeps the random streams of this family apart from those of others."""


@dataclass(frozen=True, kw_only=True)
class Recipe(ProxyRecipe):
    """Everything that determines a pretrained network of this family.

    Attributes:
        target: where the real images of its tasks are from.
        origin: where the images are from that it is pretrained on.
        pretraining: of `PRETRAINING`.
        batch_norm: whether its tasks freeze or train batch norm; "frozen" where it has none.
    """

    kind: ClassVar[str] = "composed"
    version: ClassVar[int] = 2

    target: World
    origin: World
    pretraining: str
    batch_norm: Literal["frozen", "trained"] = "frozen"

    @property
    def num_classes(self) -> int:
        """Size of the network's own head."""
        return PRETRAINING[self.pretraining].num_classes(self.origin)

    @property
    def entropy(self) -> list[int]:
        """What weights and data are seeded with."""
        architecture = list(NETWORKS).index(self.architecture)
        shape = [architecture, self.width, self.depth]
        return [STREAM, SPLITS[self.split], self.network, *shape]

    def draw(self, count: int, generator: np.random.Generator) -> Examples:
        """Draw images that are trained on, labelled as they are learned from."""
        few = PRETRAINING[self.pretraining].images
        if few is None:
            return self._draw(count, "proxy", generator)
        pool = self._draw(few, "proxy", np.random.default_rng([*self.entropy, 2]))
        chosen = torch.from_numpy(generator.integers(few, size=count))
        return Examples(pool.images[chosen], pool.labels[chosen])

    def draw_test(self, count: int, generator: np.random.Generator) -> Examples:
        """Draw images that are not trained on, labelled in the same way."""
        return self._draw(count, "proxy_test", generator)

    def _draw(self, count: int, role: str, generator: np.random.Generator) -> Examples:
        drawn = self.origin.draw_balanced(count, role, generator)
        return PRETRAINING[self.pretraining].label(drawn, generator)
