"""Points: how far steps may move backbone and head, the few numbers that matter most."""

from __future__ import annotations

from typing import NamedTuple

STILL = 1e-6
"""Size that stands for a backbone that does not move: a multiplier of 0 could not grow again."""


class Point(NamedTuple):
    """Sizes of steps, relative to the weights' norm, before annealing.

    Attributes:
        backbone: ‖Δθ‖ / ‖θ‖ of each layer but the head.
        head: that of the head.
    """

    backbone: float
    head: float


POINTS = (
    *(Point(size, 5e-2) for size in (STILL, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)),
    *(Point(size, 2e-1) for size in (STILL, 1e-3, 1e-2)),
    Point(1e-3, 1e-2),
)
"""What is tried on every task: six sizes of the backbone's steps, some with others of the head."""

PROBE = Point(1e-4, 5e-2)
"""How a run begins while it is looked at: gently, since what moved too far does not come back."""
