"""A pretext: which channel is which?"""

from __future__ import annotations

from itertools import permutations
from typing import ClassVar

import numpy as np
import torch

from l2o.envs.tasks.base import Examples
from l2o.envs.tasks.composed.pretraining.base import Pretraining
from l2o.envs.tasks.composed.world import World

_ORDERS = torch.tensor(list(permutations(range(3))))


class Colours(Pretraining):
    """Images like the target's, without their labels, their channels in one of six orders."""

    name: ClassVar[str] = "colours"

    def num_classes(self, origin: World) -> int:
        """Return the six orders."""
        return len(_ORDERS)

    def label(self, examples: Examples, generator: np.random.Generator) -> Examples:
        """Reorder the channels of each image, and label it by their order."""
        drawn = torch.from_numpy(generator.integers(len(_ORDERS), size=len(examples)))
        index = _ORDERS[drawn][:, :, None, None].expand_as(examples.images)
        return Examples(examples.images.gather(1, index), drawn)
