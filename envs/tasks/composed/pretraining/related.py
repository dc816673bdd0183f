"""Other classes of the same kind of data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from l2o.envs.tasks.composed.pretraining.base import Pretraining, other_classes
from l2o.envs.tasks.composed.world import World


class Related(Pretraining):
    """Other letters, other digits: what images are like is known, the classes are new."""

    name: ClassVar[str] = "related"
    other_classes: ClassVar[bool] = True

    def origin(self, target: World, kinds: Sequence[str], generator: np.random.Generator) -> World:
        """Return the target's world with other classes."""
        return other_classes(target, generator)
