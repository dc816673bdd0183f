"""How much of the training is done, where its length is known."""

from __future__ import annotations

from l2o.signals.base import Field, Known, LogRatio


class Progress(Field):
    """Share of the training done, in [0, 1]."""

    field = "progress"


class StepsLeft(LogRatio):
    """log₁₀(1 + optimizer steps left) / 6."""

    numerator, offset, scale = "steps_left", 1.0, 6.0


class HasProgress(Known):
    """1 if the length of the training is known."""

    field = "progress"
