"""The decision windows of ASG's release."""

from __future__ import annotations

from dataclasses import dataclass

from l2o.intervals.base import Interval, check_window

_FEWER = 20
"""Steps of the epochs before that make a window one step longer."""


@dataclass(frozen=True)
class ASGRelease(Interval):
    """Windows of max(first, n_e + ⌊n_before / 20⌋) optimizer steps, cut at the ends of epochs.

    n_e are the steps done in this epoch, n_before those of all epochs before: so windows double
    within the first epoch, and begin anew, longer, in each that follows.

    Source: the formula is that of the release of Chen et al., Automated Synthetic-to-Real
    Generalization, ICML 2020 (⌊(n_e + n_before) / 20⌋ may have been meant, which is `Growing`).
    Decisions there are counted at the ends of windows, 66 for VisDA-17; here the first comes before
    the first window, so there is one more.

    Args:
        first: fewest steps of a window, 1 or more; in the release 10 for classification, 20 for
            segmentation.
        epochs: into which the training's length is divided, 1 or more; in the release 30, 50.
            Where the length is not known, all steps are of one epoch.

    Raises:
        ValueError: less than 1, or no whole number.

    Example:
        >>> interval = ASGRelease(first=10, epochs=2)
        >>> [interval.window(done, total_steps=200) for done in (0, 10, 20, 40, 80, 100, 115)]
        [10, 10, 20, 40, 20, 10, 20]
    """

    first: int = 10
    epochs: int = 30

    def __post_init__(self) -> None:
        check_window("interval.first", self.first)
        check_window("interval.epochs", self.epochs)

    def window(self, done: int, total_steps: int | None = None) -> int:
        """Return the steps of the window that begins after so many are done."""
        if not total_steps:
            return max(self.first, done)
        epoch = ((done + 1) * self.epochs - 1) // total_steps  # the last that has begun by then
        before, end = (each * total_steps // self.epochs for each in (epoch, epoch + 1))
        return min(max(self.first, done - before + before // _FEWER), end - done)
