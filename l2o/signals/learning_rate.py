"""The learning rate as it stands: the user's, and the last action."""

from __future__ import annotations

from typing import ClassVar

from l2o.signals.base import LogRatio


class Multiplier(LogRatio):
    """log₁₀(multiplier) / 3, the last action; zero counts as 10⁻⁶."""

    limit: ClassVar[float] = 2.0
    numerator, scale = "multiplier", 3.0


class BaseLR(LogRatio):
    """log₁₀(base learning rate) / 4."""

    limit: ClassVar[float] = 2.0
    numerator, scale = "base_lr", 4.0
