"""What a controller decided, kept cheaply and within bounds."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Decision:
    """One decision.

    Attributes:
        step: optimizer steps done when it was taken.
        multipliers: per layer group, then per guidance term that the policy scales.
        learning_rates: per layer group, the user's rate times the multiplier.
        trouble: what the guard found wrong with the window before it, if anything.
    """

    step: int
    multipliers: tuple[float, ...]
    learning_rates: tuple[float, ...]
    trouble: str | None = None


class History:
    """The newest decisions, oldest first.

    Args:
        limit: how many are kept.

    Attributes:
        listeners: called with each new decision.
    """

    def __init__(self, limit: int = 10_000) -> None:
        if limit < 1:
            raise ValueError(f"the history keeps at least 1 decision, got limit={limit}")
        self._decisions: deque[Decision] = deque(maxlen=limit)
        self.listeners: list[Callable[[Decision], None]] = []

    def add(self, decision: Decision) -> None:
        """Append one, dropping the oldest beyond the limit."""
        self._decisions.append(decision)
        for listener in self.listeners:
            listener(decision)

    def __len__(self) -> int:
        return len(self._decisions)

    def __iter__(self) -> Iterator[Decision]:
        return iter(self._decisions)

    def __getitem__(self, index: int) -> Decision:
        return self._decisions[index]
