"""A pretext: which way is up?"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch

from l2o.envs.tasks.base import Examples
from l2o.envs.tasks.composed.pretraining.base import Pretraining
from l2o.envs.tasks.composed.world import World


class Rotation(Pretraining):
    """Images like the target's, without their labels, turned by 0, 90, 180 or 270 degrees.

    Source: Gidaris et al., Unsupervised Representation Learning by Predicting Image Rotations.
    """

    name: ClassVar[str] = "rotation"

    def num_classes(self, origin: World) -> int:
        """Return the four rotations."""
        return 4

    def label(self, examples: Examples, generator: np.random.Generator) -> Examples:
        """Turn each image, and label it by how far."""
        turns = torch.from_numpy(generator.integers(4, size=len(examples)))
        images = examples.images.clone()
        for turn in range(1, 4):
            images[turns == turn] = examples.images[turns == turn].rot90(turn, (2, 3))
        return Examples(images, turns)
