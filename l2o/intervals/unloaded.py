"""An interval of somebody's own, read from a file that may not import it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NoReturn

from l2o.intervals.base import Interval


@dataclass(frozen=True)
class Unloaded(Interval):
    """Names an interval that a policy's card does; whoever has it gives it again.

    Loading a policy executes nothing, so the code that a card names is not imported. A training
    that has an interval of its own, as configs and `LRController(interval=...)` give it, never asks
    for this one.

    Args:
        name: dotted path of the interval.
        options: its arguments.

    Example:
        >>> Unloaded("package.module:Rule").plain()
        {'name': 'package.module:Rule', 'options': {}}
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def window(self, done: int, total_steps: int | None = None) -> NoReturn:
        """Refuse.

        Raises:
            ValueError: always; says how to give the interval.
        """
        raise ValueError(
            f"this policy decides by the interval {self.name!r}, which is not l2o's, and loading a "
            f"policy imports nothing; give it: LRController(..., interval="
            f"{{'name': {self.name!r}, 'options': {dict(self.options)!r}}})"
        )

    def plain(self) -> dict[str, Any]:
        """Return what was read."""
        return asdict(self)
