"""The schema of decision intervals: a number of steps, or a rule."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag

from l2o.configs.base import Named, Steps, Strict


class GrowingWindows(Strict):
    """Windows of max(first, share x steps + growth x steps done) steps, both parts rounded down."""

    first: Steps = 10
    """Fewest optimizer steps of a window."""
    growth: Annotated[float, Field(ge=0.0, le=1e6)] = 0.05
    """Steps by which a window is longer for each step done before it."""
    share: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    """Share of the fine-tune's length that is added to every window."""


def _interval_kind(given: Any) -> str:
    if isinstance(given, Named) or (isinstance(given, dict) and "name" in given):
        return "named"
    return "growing" if isinstance(given, GrowingWindows | dict) else "steps"


Interval = Annotated[
    Annotated[Steps, Tag("steps")]
    | Annotated[GrowingWindows, Tag("growing")]
    | Annotated[Named, Tag("named")],
    Discriminator(_interval_kind),
]
"""A number of steps, the fields of windows that grow, or a member of `l2o.intervals.INTERVALS`."""
