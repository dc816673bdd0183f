"""Pretraining of the proxy: patches of photographs, from the tiles of one field."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from l2o.envs.tasks.base import Examples
from l2o.envs.tasks.proxy import NETWORKS, ProxyRecipe
from l2o.envs.tasks.textures.photographs import NUM_CLASSES
from l2o.envs.tasks.textures.real import PROXY, ROLES, draw_real


@dataclass(frozen=True, kw_only=True)
class Recipe(ProxyRecipe):
    """Everything that determines a pretrained network of this family.

    Attributes:
        field: tiles that the proxy sees; the target has the other ones.
    """

    kind: ClassVar[str] = "textures"
    version: ClassVar[int] = 1
    num_classes: ClassVar[int] = NUM_CLASSES

    field: str

    @property
    def entropy(self) -> list[int]:
        """What weights and data are seeded with."""
        architecture = list(NETWORKS).index(self.architecture)
        # The 7 keeps these streams apart from those of other families.
        return [7, ord(self.split[0]), self.network, architecture, self.width, self.depth]

    def draw(self, count: int, generator: np.random.Generator) -> Examples:
        """Draw patches of the tiles that are trained on."""
        rows = ROLES["proxy_train"]
        return draw_real(count, self.split, self.field, rows, PROXY, generator)
