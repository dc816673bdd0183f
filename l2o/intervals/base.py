"""The contract of intervals: how many optimizer steps lie between two decisions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from numbers import Integral
from typing import Any, ClassVar


class Interval(ABC):
    """Says how long each decision window is, from what was done before it.

    One of your own is a subclass whose constructor takes what its attributes are called, so that
    `plain()` can write it down.

    Attributes:
        constant: whether all windows have the same steps, whatever was done before.

    Example:
        >>> class Doubling(Interval):
        ...     def window(self, done, total_steps=None):
        ...         return max(1, done)
        >>> [Doubling().window(done) for done in (0, 1, 2, 4)]
        [1, 1, 2, 4]
    """

    constant: ClassVar[bool] = False

    @abstractmethod
    def window(self, done: int, total_steps: int | None = None) -> int:
        """Return the optimizer steps of the window that begins after so many are done.

        Args:
            done: steps before it; windows follow each other from 0.
            total_steps: length of the training, if known.

        Returns:
            1 or more. The training's end may cut the last window short.
        """

    def at_least(self, steps: int) -> Interval:
        """Return the interval for a policy that would not decide more often than this.

        A rule says itself how long its windows are, and stays; a number of steps gives way.
        """
        del steps
        return self

    def plain(self) -> Any:
        """Return what configs, cards and checkpoints write, as `as_interval` reads it."""
        kind = type(self)
        return {"name": f"{kind.__module__}:{kind.__qualname__}", "options": dict(vars(self))}


def check_window(what: str, steps: Any) -> int:
    """Return the steps of a window as an int.

    Raises:
        ValueError: less than 1, or no whole number; the message names it.
    """
    if isinstance(steps, bool) or not isinstance(steps, Integral) or steps < 1:
        raise ValueError(f"{what} must be at least 1, a whole number of steps, got {steps!r}")
    return int(steps)
