"""No pretraining."""

from __future__ import annotations

from typing import ClassVar

from l2o.envs.tasks.composed.pretraining.base import Pretraining


class Nothing(Pretraining):
    """Random weights: at a learning rate of 0 only the statistics of batch norm are gathered."""

    name: ClassVar[str] = "none"
    length: ClassVar[float] = 0.1
    rate: ClassVar[float] = 0.0
