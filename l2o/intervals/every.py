"""Windows that are all alike."""

from __future__ import annotations

from typing import ClassVar

from l2o.intervals.base import Interval, check_window


class Every(int, Interval):
    """Windows of as many optimizer steps each.

    It is the number, too: `policy.interval == 10`, and files write it as one.

    Args:
        steps: of each window, 1 or more.

    Raises:
        ValueError: less than one step, or no whole number.

    Example:
        >>> Every(10).window(done=200)
        10
    """

    constant: ClassVar[bool] = True

    def __new__(cls, steps: int = 10) -> Every:
        """Check the number; an int is made before it is initialized."""
        return super().__new__(cls, check_window("interval", steps))

    def window(self, done: int, total_steps: int | None = None) -> int:
        """Return the steps of any window."""
        del done, total_steps
        return int(self)

    def at_least(self, steps: int) -> Every:
        """Return windows of so many steps where these are shorter."""
        return Every(max(self, steps))

    def plain(self) -> int:
        """Return the number."""
        return int(self)
