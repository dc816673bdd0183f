"""The target's own classes, in images like the target's."""

from __future__ import annotations

from typing import ClassVar

from l2o.envs.tasks.composed.pretraining.base import Pretraining


class Same(Pretraining):
    """As `digits` and `textures` have it: the network knows already what it will be asked."""

    name: ClassVar[str] = "same"
