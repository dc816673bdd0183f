"""Shares that grow from round to round."""

from __future__ import annotations

from dataclasses import dataclass

from l2o.checks import check_number


@dataclass(frozen=True)
class Share:
    """min(first + growth · round, most), rounds counted from 0.

    Args:
        first: of the first round, in [0, 1].
        growth: of each later round, in [0, 1].
        most: at most, in [0, 1].

    Raises:
        ValueError: one of them is out of range.

    Example:
        >>> [Share(0.2, 0.05, 0.3).at(number) for number in range(4)]
        [0.2, 0.25, 0.3, 0.3]
    """

    first: float = 0.2
    growth: float = 0.05
    most: float = 0.5

    def __post_init__(self) -> None:
        for name in ("first", "growth", "most"):
            check_number(f"share: {name}", getattr(self, name), 0.0, 1.0)

    def at(self, number: int) -> float:
        """Return the share of a round."""
        return round(min(self.first + self.growth * number, self.most), 12)
