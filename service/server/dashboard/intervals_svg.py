"""A picture of measured values and their intervals, one line for each, as plain SVG."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape

_WIDTH, _LEFT, _RIGHT, _ROW, _TOP = 720.0, 16.0, 16.0, 44.0, 8.0


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
    """Return one line for each value: a dot, its interval, and a mark at zero."""
    low = min(0.0, *(each.low for each in measured))
    high = max(0.0, *(each.high for each in measured))
    span = (high - low) or 1.0

    def x(value: float) -> float:
        return _LEFT + (value - low) / span * (_WIDTH - _LEFT - _RIGHT)

    height = _TOP + _ROW * len(measured) + 8
    lines = [f'<line class="zero" x1="{x(0):.1f}" x2="{x(0):.1f}" y1="{_TOP}" y2="{height - 8}"/>']
    for row, each in enumerate(measured):
        y = _TOP + _ROW * row + 30
        kind = {True: "holds", False: "fails", None: "plain"}[each.holds]
        # What is said by colour is said by shape, too: a dot that is filled, or a ring.
        told = f"{each.value:+.4g} [{each.low:.4g}, {each.high:.4g}] {each.unit}"
        lines += [
            f'<text x="{_LEFT}" y="{y - 12}">{escape(each.label)}</text>',
            f'<g class="{kind}"><title>{escape(told)}</title>',
            f'<line x1="{x(each.low):.1f}" x2="{x(each.high):.1f}" y1="{y}" y2="{y}"/>',
            f'<circle cx="{x(each.value):.1f}" cy="{y}" r="5"/></g>',
        ]
    return Markup(
        f'<svg class="intervals" viewBox="0 0 {_WIDTH:.0f} {height:.0f}" role="img" '
        f'aria-label="{len(measured)} measured values with intervals; the table has the numbers">'
        f"{''.join(lines)}</svg>"
    )
