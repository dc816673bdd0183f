"""The target's own classes, learned by heart."""

from __future__ import annotations

from typing import ClassVar

from l2o.envs.tasks.composed.pretraining.base import Pretraining


class Overtrained(Pretraining):
    """Many steps on few images: they are known, what is like them less so."""

    name: ClassVar[str] = "overtrained"
    length: ClassVar[float] = 2.0
    images: ClassVar[int | None] = 96
