"""Another kind of data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from l2o.envs.tasks.composed.pretraining.base import Pretraining, other_kind
from l2o.envs.tasks.composed.world import World


class Unrelated(Pretraining):
    """Letters where the target is photographs: hardly anything that was learned is of use."""

    name: ClassVar[str] = "unrelated"

    def origin(self, target: World, kinds: Sequence[str], generator: np.random.Generator) -> World:
        """Return a world of another kind."""
        return other_kind(target, kinds, generator)
