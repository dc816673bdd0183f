"""A picture of measured values and their intervals, one line for each, as SVG."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape


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
        value = figure.get("value")
        low, high = figure.get("low", value), figure.get("high", value)
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


def intervals_svg(measured: Sequence[Measured]) -> Markup:
    """Return a list with a line for each value: its label, a dot, its interval, a mark at zero.

    Places are shares of the width, so that text has its own size on any screen.
    """
    low = min(0.0, *(each.low for each in measured))
    high = max(0.0, *(each.high for each in measured))
    span = (high - low) or 1.0

    def at(value: float) -> str:
        return f"{2 + 96 * (value - low) / span:.2f}%"

    lines = []
    for each in measured:
        # What is said by colour is said by shape, too: a dot that is filled, or a ring.
        kind = {True: "holds", False: "fails", None: "plain"}[each.holds]
        lines.append(
            f"<li><span>{escape(each.label)}</span>"
            f'<span class="value">{each.value:+.4g} [{each.low:.4g}, {each.high:.4g}]</span>'
            '<svg aria-hidden="true">'
            f'<line class="zero" x1="{at(0)}" x2="{at(0)}" y1="-6" y2="26"/>'
            f'<g class="{kind}"><line x1="{at(each.low)}" x2="{at(each.high)}" y1="10" y2="10"/>'
            f'<circle cx="{at(each.value)}" cy="10" r="5"/></g></svg></li>'
        )
    return Markup(f'<ul class="intervals">{"".join(lines)}</ul>')
