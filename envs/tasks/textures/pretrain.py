"""Pretraining of the proxy: patches of photographs, from the tiles of one field."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from l2o.envs.tasks.base import Examples
from l2o.envs.tasks.digits.networks import NETWORKS, DigitsNetwork, Shape
from l2o.envs.tasks.textures.photographs import NUM_CLASSES
from l2o.envs.tasks.textures.real import PROXY, ROLES, draw_real

RECIPE_VERSION = 1
"""Raised by any change that changes the weights a recipe gives; old cache files then lie unused."""

_CHUNK = 50
"""Steps whose images are drawn at once: drawing costs next to nothing then."""


@dataclass(frozen=True)
class Recipe:
    """Everything that determines a pretrained network of this family.

    Attributes:
        split: whose photographs are used.
        network: the network's number within its split; seeds weights and data.
        architecture: of `NETWORKS`.
        width: channels of the first convolution, or what stands for them.
        depth: number of convolutions or blocks.
        field: tiles that the proxy sees; the target has the other ones.
        steps: optimizer steps.
        batch_size: images per step.
        learning_rate: peak of the one-cycle schedule.
    """

    split: str
    network: int
    architecture: str
    width: int
    depth: int
    field: str
    steps: int
    batch_size: int = 64
    learning_rate: float = 3e-3

    kind: ClassVar[str] = "textures"

    def key(self) -> dict[str, Any]:
        """Return what the weights depend on, as plain data."""
        return {"version": RECIPE_VERSION, **asdict(self)}

    def build(self) -> DigitsNetwork:
        """Return the network with the weights that pretraining starts from."""
        seed = int(np.random.SeedSequence(self._entropy).generate_state(1)[0])
        generator = torch.Generator().manual_seed(seed)
        return NETWORKS[self.architecture](Shape(self.width, self.depth), NUM_CLASSES, generator)

    def batches(self) -> Iterator[Examples]:
        """Yield the batch of each step."""
        generator = np.random.default_rng([*self._entropy, 1])
        for start in range(0, self.steps, _CHUNK):
            count = min(_CHUNK, self.steps - start) * self.batch_size
            rows = ROLES["proxy_train"]
            drawn = draw_real(count, self.split, self.field, rows, PROXY, generator)
            for images, labels in zip(
                drawn.images.split(self.batch_size), drawn.labels.split(self.batch_size)
            ):
                yield Examples(images, labels)

    @property
    def _entropy(self) -> list[int]:
        kind = list(NETWORKS).index(self.architecture)
        # The 7 keeps these streams apart from those of other families.
        return [7, ord(self.split[0]), self.network, kind, self.width, self.depth]
