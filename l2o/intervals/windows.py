"""The decision windows of one training, laid out one after the other."""

from __future__ import annotations

from l2o.intervals.base import Interval, check_window


class Windows:
    """The decision windows of one training.

    Args:
        interval: of its decisions.
        total_steps: its length, if known.

    Raises:
        ValueError: in a call, where the interval gives a window of less than one step.

    Example:
        >>> from l2o.intervals.growing import Growing
        >>> windows = Windows(Growing(10, growth=0.1))
        >>> windows.end_after(0), windows.end_after(109), windows.ends_at(110)
        (10, 110, True)
        >>> [step for step in range(30) if windows.is_early(step)]
        [1, 2, 4, 8]
    """

    def __init__(self, interval: Interval, total_steps: int | None = None) -> None:
        self.interval = interval
        self.total_steps = total_steps
        self._before = self._begin = self._end = 0
        self._first = self._window(0)

    def is_early(self, step: int) -> bool:
        """Return whether so many steps are 1, 2, 4, ... and the first window is not over yet."""
        return 0 < step < self._first and step & (step - 1) == 0

    def end_after(self, step: int) -> int:
        """Return where the window ends that a step is in: the number of steps done by then.

        Args:
            step: steps done before it.
        """
        if self.interval.constant:  # a run that goes on late need not lay out what is behind it
            return (step // self._first + 1) * self._first
        # The last two windows are known: a loop asks about the one that just ended, too.
        if self._before <= step < self._begin:
            return self._begin
        if step < self._before:
            self._before = self._begin = self._end = 0
        while self._end <= step:
            self._before, self._begin = self._begin, self._end
            self._end += self._window(self._begin)
        return self._end

    def ends_at(self, step: int) -> bool:
        """Return whether a window ends after so many steps; none needs to have begun."""
        return step == 0 or self.end_after(step - 1) == step

    def ends(self, steps: int) -> list[int]:
        """Return the ends of all windows of so many steps; the last may be cut short."""
        return [min(end, steps) for end in self.whole_ends(steps)]

    def whole_ends(self, steps: int) -> list[int]:
        """Return where all windows of so many steps would end if nothing cut the last one short."""
        found = [0]
        while found[-1] < steps:
            found.append(self.end_after(found[-1]))
        return found[1:]

    def _window(self, done: int) -> int:
        return check_window(
            f"a window of {self.interval!r} after {done} steps",
            self.interval.window(done, self.total_steps),
        )
