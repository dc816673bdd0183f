"""Where an environment's time goes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


class Stopwatch:
    """Adds up seconds by what they were spent on.

    Example:
        >>> watch = Stopwatch()
        >>> with watch.on("stepping"):
        ...     pass
        >>> list(watch.seconds)
        ['stepping']
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def on(self, what: str) -> Iterator[None]:
        """Count the time of a block."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.add({what: time.perf_counter() - started})

    def add(self, spent: Mapping[str, float]) -> None:
        """Count seconds that were measured elsewhere."""
        for what, seconds in spent.items():
            self.seconds[what] = self.seconds.get(what, 0.0) + seconds
