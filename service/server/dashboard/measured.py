"""Measured values and their intervals, and where a picture of them draws each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Measured:
    """A value with its interval.

    Attributes:
        label: what was measured.
        value: and `low`, `high`, the ends of its interval; equal to it where there is none.
        unit: of these, "" for none.
        holds: whether it is what it must be; None where nothing is said of it.
    """

    label: str
    value: float
    low: float
    high: float
    unit: str
    holds: bool | None

    @classmethod
    def of(cls, figure: Any) -> Measured | None:
        """Return what a card says of a figure, None where that is no number."""
        if not isinstance(figure, Mapping):
            return None
        value: Any = figure.get("value")
        low: Any = figure.get("low", value)
        high: Any = figure.get("high", value)
        if not all(isinstance(x, int | float) and math.isfinite(x) for x in (value, low, high)):
            return None
        holds = figure.get("holds")
        return cls(
            label=str(figure.get("figure", ""))[:200],
            value=float(value),
            low=min(float(low), float(value)),
            high=max(float(high), float(value)),
            unit=str(figure.get("unit", ""))[:40],
            holds=holds if isinstance(holds, bool) else None,
        )


@dataclass(frozen=True)
class Line:
    """Where a picture of several values draws one of them: shares of its width, in percent.

    Attributes:
        measured: what is drawn.
        kind: "holds", "fails" or "plain".
        zero: where zero is.
        low: where the interval begins, `high`, where it ends, and `value`, where the value is.
    """

    measured: Measured
    kind: str
    zero: float
    low: float
    high: float
    value: float


def lines(measured: Sequence[Measured]) -> list[Line]:
    """Return a line for each value, on one scale that zero is on, too.

    Example:
        >>> [line.value for line in lines([Measured("a", 1.0, 0.5, 2.0, "points", True)])]
        [50.0]
    """
    low = min(0.0, *(each.low for each in measured))
    high = max(0.0, *(each.high for each in measured))
    span = (high - low) or 1.0

    def at(value: float) -> float:
        return round(2 + 96 * (value - low) / span, 2)

    kinds = {True: "holds", False: "fails", None: "plain"}
    return [
        Line(each, kinds[each.holds], at(0.0), at(each.low), at(each.high), at(each.value))
        for each in measured
    ]
