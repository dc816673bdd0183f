"""A circuit breaker: whether a server that failed is to be asked again yet."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic


class Circuit:
    """Opens after failures in a row; then one request at a time may find out whether to close.

        wait ← pause · 2^(failures beyond the last), at most `longest`

    Args:
        failures: in a row after which nothing is asked for a while.
        pause: seconds of the first while.
        longest: seconds of the longest.
        clock: gives the time in seconds.

    Example:
        >>> now = [0.0]
        >>> circuit = Circuit(failures=2, pause=1.0, clock=lambda: now[0])
        >>> circuit.failed(); circuit.failed(); circuit.closed
        False
        >>> now[0] = 1.5; circuit.may_try
        True
        >>> circuit.worked(); circuit.closed
        True
    """

    def __init__(
        self,
        failures: int = 3,
        pause: float = 1.0,
        longest: float = 60.0,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.failures, self.pause, self.longest = failures, pause, longest
        self._clock = clock
        self.failed_in_a_row = 0
        self._next = 0.0

    @property
    def closed(self) -> bool:
        """Whether requests go through."""
        return self.failed_in_a_row < self.failures

    @property
    def may_try(self) -> bool:
        """Whether it is time to find out if the server is back."""
        return not self.closed and self._clock() >= self._next

    def failed(self) -> None:
        """Take note of a failure."""
        self.failed_in_a_row += 1
        beyond = self.failed_in_a_row - self.failures
        if beyond >= 0:
            self._next = self._clock() + min(self.longest, self.pause * 2.0 ** min(beyond, 30))

    def worked(self) -> None:
        """Take note that the server answers."""
        self.failed_in_a_row = 0
