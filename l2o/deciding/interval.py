"""How many optimizer steps lie between decisions: always as many, or more and more of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from numbers import Integral
from typing import Any

from l2o.checks import check_number


@dataclass(frozen=True)
class GrowingInterval:
    """Windows of max(first, ⌊share · steps⌋ + ⌊growth · done⌋) optimizer steps.

    Source: Chen et al., Automated Synthetic-to-Real Generalization, ICML 2020, in whose release
    share and growth are a twentieth.

    Args:
        first: fewest steps of a window, 1 or more.
        growth: steps that a window gets longer for each step done before it, not negative.
        share: of the training's length, added to every window; in [0, 1]. Where the length is not
            known it adds nothing.

    Raises:
        ValueError: a value out of range.

    Example:
        >>> interval = GrowingInterval(10, growth=0.05, share=0.02)
        >>> interval.window(0, total_steps=300), interval.window(200, total_steps=300)
        (10, 16)
    """

    first: int = 10
    growth: float = 0.05
    share: float = 0.0

    def __post_init__(self) -> None:
        _check_count("interval.first", self.first)
        check_number("interval.growth", self.growth)
        check_number("interval.share", self.share, 0.0, 1.0)

    def window(self, done: int, total_steps: int | None = None) -> int:
        """Return the steps of the window that begins after so many are done."""
        return max(self.first, _part(self.share, total_steps or 0) + _part(self.growth, done))


Interval = int | GrowingInterval
"""Optimizer steps between decisions; configs and cards write a number, or
`{first: 10, growth: 0.05, share: 0.05}`."""


def as_interval(given: Any) -> Interval:
    """Return the interval that a number or a config's mapping stands for.

    Raises:
        ValueError: neither, less than one step, or fields that an interval does not have.

    Example:
        >>> as_interval({"first": 5, "growth": 0.1}).window(100)
        10
    """
    if isinstance(given, GrowingInterval):
        return given
    if isinstance(given, Mapping):
        try:
            return GrowingInterval(**given)
        except TypeError as error:
            raise ValueError(
                f"an interval that grows has the fields first, growth and share, got {dict(given)}"
            ) from error
    return _check_count("interval", given)


def as_plain(interval: Interval) -> int | dict[str, Any]:
    """Return it as `as_interval` takes it, for cards and checkpoints."""
    return asdict(interval) if isinstance(interval, GrowingInterval) else interval


class Windows:
    """The decision windows of one training.

    Args:
        interval: of its decisions.
        total_steps: its length, if known.

    Example:
        >>> windows = Windows(GrowingInterval(10, growth=0.1))
        >>> windows.end_after(0), windows.end_after(109), windows.ends_at(110)
        (10, 110, True)
        >>> [step for step in range(30) if windows.is_early(step)]
        [1, 2, 4, 8]
    """

    def __init__(self, interval: Interval, total_steps: int | None = None) -> None:
        self.interval = interval
        self.total_steps = total_steps
        self._begin = self._end = 0
        self._first = self.end_after(0)

    def is_early(self, step: int) -> bool:
        """Return whether so many steps are 1, 2, 4, ... and the first window is not over yet."""
        return 0 < step < self._first and step & (step - 1) == 0

    def end_after(self, step: int) -> int:
        """Return where the window ends that a step is in: the number of steps done by then.

        Args:
            step: steps done before it.
        """
        if isinstance(self.interval, int):
            return (step // self.interval + 1) * self.interval
        if step < self._begin:
            self._begin = self._end = 0
        while self._end <= step:
            self._begin = self._end
            self._end += self.interval.window(self._begin, self.total_steps)
        return self._end

    def ends_at(self, step: int) -> bool:
        """Return whether a window ends after so many steps; none needs to have begun."""
        if isinstance(self.interval, int):
            return step % self.interval == 0
        return step == 0 or self.end_after(step - 1) == step

    def ends(self, steps: int) -> list[int]:
        """Return the ends of all windows of so many steps; the last may be cut short."""
        found = [0]
        while found[-1] < steps:
            found.append(min(self.end_after(found[-1]), steps))
        return found[1:]


def _part(share: float, of: int) -> int:
    # Products like 0.29 · 100 fall short of the whole number that is meant.
    return math.floor(share * of + 1e-9)


def _check_count(what: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise ValueError(f"{what} must be at least 1, a whole number of steps, got {value!r}")
    return int(value)
