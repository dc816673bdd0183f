"""What is kept of a fine-tune while it goes: scores over training, and what was decided."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from l2o.benchmarks.cells.record import LearningRates, Point, finite
from l2o.intervals import Interval, Windows
from l2o.intervals.plain import as_interval


class Curve:
    """The scores over training of one fine-tune: when they are measured, and what.

    Args:
        stops: steps at which it is measured, the end included.

    Attributes:
        step: optimizer steps done.
        diverged: whether the fine-tune has; it ends there.
        points: what was measured.
    """

    def __init__(self, stops: Sequence[int]) -> None:
        self.stops = list(stops)
        self.step = 0
        self.diverged = False
        self.points: list[Point] = []
        self._kl, self._since = 0.0, 0

    def advance(self, steps: int, proxy_kl: float, diverged: bool) -> None:
        """Note steps that were taken, with their mean proxy KL."""
        self.step += steps
        self.diverged = bool(diverged)
        self._kl += proxy_kl * steps
        self._since += steps

    @property
    def complete(self) -> bool:
        """Whether the fine-tune has ended and its last point is there."""
        return self._ended and self._measured

    @property
    def due(self) -> bool:
        """Whether a point is to be measured now."""
        return not self._measured and (self._ended or self.step in self.stops)

    @property
    def _ended(self) -> bool:
        return self.diverged or self.step >= self.stops[-1]

    @property
    def _measured(self) -> bool:
        return bool(self.points) and self.points[-1].step == self.step

    def add(self, scores: Mapping[str, Mapping[str, float]]) -> None:
        """Add a point: split -> metric -> value."""
        plain = {split: to_plain(values) for split, values in scores.items()}
        proxy_kl = finite(self._kl / self._since)
        self.points.append(Point(step=self.step, scores=plain, proxy_kl=proxy_kl))
        self._kl, self._since = 0.0, 0

    def state(self) -> dict[str, float]:
        """Return what was noted since the last point, for a run that goes on."""
        return {"kl": self._kl, "since": self._since}

    def go_on(
        self, step: int, diverged: bool, points: Sequence[Point], state: Mapping[str, Any]
    ) -> None:
        """Go on as the curve of a run that was stopped."""
        self.step, self.diverged, self.points = step, diverged, list(points)
        self._kl, self._since = float(state["kl"]), int(state["since"])


def to_plain(values: Mapping[str, float]) -> dict[str, float | None]:
    """Return values as a record has them."""
    return {name: finite(value) for name, value in values.items()}


def learning_rates(
    groups: Sequence[str],
    decisions: Iterable[tuple[int, Sequence[float]]],
    base_lr: float,
    guidance: Sequence[str] = (),
    stages: Mapping[str, int] | None = None,
) -> LearningRates:
    """Return what was decided: steps and multipliers, shortened to four digits.

    Args:
        groups: names of the layer groups.
        decisions: step and multipliers of each decision.
        base_lr: what the multipliers multiply.
        guidance: names of guidance terms whose weights were scaled; their multipliers come after
            those of the groups, and are recorded as `guidance`.
        stages: name -> first step, of a fine-tune that has several.
    """
    chosen = [(step, tuple(map(_short, multipliers))) for step, multipliers in decisions]
    layers = len(groups)
    scales = zip(*(multipliers[layers:] for _, multipliers in chosen), strict=True)
    return LearningRates(
        step=tuple(step for step, _ in chosen),
        groups=tuple(groups),
        multipliers=tuple(multipliers[:layers] for _, multipliers in chosen),
        base_lr=base_lr,
        guidance=dict(zip(guidance, scales, strict=True)) if guidance else None,
        stages=None if stages is None else dict(stages),
    )


def stops(steps: int, evaluations: int, interval: Interval | int = 1) -> list[int]:
    """Return the steps at which the curve is measured: spread over the decisions, the end included.

    There are fewer of them where there are fewer decisions.

    Example:
        >>> stops(300, 4), stops(300, 4, interval=10)
        ([75, 150, 225, 300], [80, 150, 230, 300])
        >>> from l2o.intervals import Growing
        >>> stops(100, 3, Growing(10, growth=0.5))  # of 10, 20, 30, 45, 67, 100
        [30, 67, 100]
    """
    ends = Windows(as_interval(interval), steps).whole_ends(steps)
    wanted = [steps * i / evaluations for i in range(1, evaluations + 1)]
    nearest = {min(ends, key=lambda end: (abs(end - at), -end)) for at in wanted}
    return sorted({min(end, steps) for end in nearest} | {steps})


def _short(value: float) -> float | None:
    return float(f"{float(value):.4g}") if math.isfinite(value) else None
