"""The target's own classes, hardly learned."""

from __future__ import annotations

from typing import ClassVar

from l2o.envs.tasks.composed.pretraining.base import Pretraining


class Weak(Pretraining):
    """Few steps on few images."""

    name: ClassVar[str] = "weak"
    length: ClassVar[float] = 0.3
    images: ClassVar[int | None] = 64
