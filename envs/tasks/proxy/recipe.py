"""The contract of recipes: how a proxy network is pretrained, and on what."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from l2o.envs.tasks.base import Examples
from l2o.envs.tasks.proxy.networks import NETWORKS, Shape, SmallNetwork

_CHUNK = 50
"""Steps whose images are drawn at once: drawing costs next to nothing then."""


@dataclass(frozen=True, kw_only=True)
class ProxyRecipe(ABC):
    """Everything that determines a pretrained network; every family adds fields of its own.

    Attributes:
        kind: folder of the cache that the weights lie in.
        version: raised by any change that changes the weights a recipe gives; old cache files
            then lie unused.
        split: the family's split.
        network: the network's number within its split; seeds weights and data.
        architecture: of `NETWORKS`.
        width: channels of the first convolution, or what stands for them.
        depth: number of convolutions or blocks.
        steps: optimizer steps.
        batch_size: images per step.
        learning_rate: peak of the one-cycle schedule.
    """

    kind: ClassVar[str]
    version: ClassVar[int]

    split: str
    network: int
    architecture: str
    width: int
    depth: int
    steps: int
    batch_size: int = 64
    learning_rate: float = 3e-3

    @property
    @abstractmethod
    def num_classes(self) -> int:
        """Size of the network's own head."""

    @property
    @abstractmethod
    def entropy(self) -> list[int]:
        """What weights and data are seeded with."""

    @abstractmethod
    def draw(self, count: int, generator: np.random.Generator) -> Examples:
        """Draw images to train on."""

    def key(self) -> dict[str, Any]:
        """Return what the weights depend on, as plain data."""
        return {"version": self.version, **asdict(self)}

    def build(self) -> SmallNetwork:
        """Return the network with the weights that pretraining starts from."""
        seed = int(np.random.SeedSequence(self.entropy).generate_state(1)[0])
        generator = torch.Generator().manual_seed(seed)
        shape = Shape(self.width, self.depth)
        return NETWORKS[self.architecture](shape, self.num_classes, generator)

    def batches(self) -> Iterator[Examples]:
        """Yield the batch of each step."""
        generator = np.random.default_rng([*self.entropy, 1])
        for start in range(0, self.steps, _CHUNK):
            count = min(_CHUNK, self.steps - start) * self.batch_size
            drawn = self.draw(count, generator)
            for images, labels in zip(
                drawn.images.split(self.batch_size), drawn.labels.split(self.batch_size)
            ):
                yield Examples(images, labels)
