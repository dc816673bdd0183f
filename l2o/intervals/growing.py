"""Windows that get longer while training goes on."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from l2o.checks import check_number
from l2o.intervals.base import Interval, check_window


@dataclass(frozen=True)
class Growing(Interval):
    """Windows of max(first, ⌊share · steps⌋ + ⌊growth · done⌋) optimizer steps.

    With a share and a growth of a twentieth it is a reading of Chen et al., Automated
    Synthetic-to-Real Generalization, ICML 2020; what its release computes is `ASGRelease`.

    Args:
        first: fewest steps of a window, 1 or more.
        growth: steps that a window gets longer for each step done before it, not negative.
        share: of the training's length, added to every window; in [0, 1]. Where the length is not
            known it adds nothing.

    Raises:
        ValueError: a value out of range.

    Example:
        >>> interval = Growing(10, growth=0.05, share=0.02)
        >>> interval.window(0, total_steps=300), interval.window(200, total_steps=300)
        (10, 16)
    """

    first: int = 10
    growth: float = 0.05
    share: float = 0.0

    def __post_init__(self) -> None:
        check_window("interval.first", self.first)
        check_number("interval.growth", self.growth)
        check_number("interval.share", self.share, 0.0, 1.0)

    def window(self, done: int, total_steps: int | None = None) -> int:
        """Return the steps of the window that begins after so many are done."""
        return max(self.first, _part(self.share, total_steps or 0) + _part(self.growth, done))

    def plain(self) -> dict[str, Any]:
        """Return its fields."""
        return asdict(self)


def _part(share: float, of: int) -> int:
    # Products like 0.29 · 100 fall short of the whole number that is meant.
    return math.floor(share * of + 1e-9)
