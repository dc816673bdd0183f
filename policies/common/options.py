"""Checks of an algorithm's options, told before any work."""

from __future__ import annotations

from l2o.checks import check_at_least_one


def check_counts(**counts: int) -> None:
    """Raise unless every option is a whole number of 1 or more.

    Raises:
        ValueError: one is not; the message names it.

    Example:
        >>> check_counts(minibatches=0)
        Traceback (most recent call last):
        ValueError: algorithm.options.minibatches must be at least 1, got 0
    """
    for name, count in counts.items():
        what = f"algorithm.options.{name}"
        if isinstance(count, bool) or not isinstance(count, int):
            raise ValueError(f"{what} must be a whole number of at least 1, got {count!r}")
        check_at_least_one(what, count)
