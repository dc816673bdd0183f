"""Telemetry: what a run decides and loses, sent to a server off the training's thread."""

from __future__ import annotations

import atexit
import logging
import math
import threading
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from l2o.control.history import Decision, History
from l2o.integrations.remote.http import Client, RemoteError

logger = logging.getLogger("l2o")

BUFFER = 10_000
"""Events that wait for a server at most; of more the oldest are dropped, and counted."""
AT_ONCE = 200
GATHERING = 0.2
"""Seconds for which events are gathered before they are sent."""
LONGEST = 30.0
"""Seconds between two tries to reach a server that is away, at most."""


class RemoteLog:
    """Sends the events of one run, in order and each once, whatever the network does meanwhile.

    Args:
        url: of the server.
        facts: of the run, JSON-able: `name`, `kind`, `groups`, `total_steps`, ...
        token: for the server; None takes the environment variable L2O_TOKEN.
        buffer: events that wait at most.

    Attributes:
        run: the run's id on the server.
        dropped: events that the buffer had no room for.

    Raises:
        ValueError: a URL that is none.

    Example:
        >>> log = controller.log_to("http://127.0.0.1:8420", name="first try")  # doctest: +SKIP
        >>> log.close()  # doctest: +SKIP
        True
    """

    def __init__(
        self,
        url: str,
        facts: Mapping[str, Any],
        token: str | None = None,
        buffer: int = BUFFER,
    ) -> None:
        self.client = Client(url, token, timeout=10.0)
        self.facts, self.run = dict(facts), uuid.uuid4().hex
        self.dropped = 0
        self._waiting: deque[tuple[int, dict[str, Any]]] = deque()
        self._buffer, self._count, self._opened = buffer, 0, False
        self._changed = threading.Condition()
        self._closing = self._refused = self._told = False
        self._thread = threading.Thread(target=self._send_all, daemon=True, name="l2o telemetry")
        self._thread.start()
        atexit.register(self.close)

    def follow(self, history: History, losses: Callable[[], Mapping[str, float]]) -> None:
        """Send the decisions of a history, those so far included, and the losses of later ones."""
        for decision in history:
            self.send(**_plain(decision))
        history.listeners.append(lambda decision: self.send(**_plain(decision), values=losses()))

    def send(self, step: int, values: Mapping[str, float] | None = None, **more: Any) -> None:
        """Put an event into the buffer; returns at once.

        Args:
            step: of the run.
            values: numbers by name; those that are not finite are left out.
            **more: `multipliers`, `learning_rates`, `trouble`.
        """
        known = {k: float(v) for k, v in (values or {}).items() if math.isfinite(v)}
        with self._changed:
            if self._refused:
                return
            self._waiting.append((self._count, {"step": int(step), "values": known, **more}))
            self._count += 1
            if len(self._waiting) > self._buffer:
                self._waiting.popleft()
                self.dropped += 1
            self._changed.notify()

    def close(self, seconds: float = 10.0) -> bool:
        """Send what waits, and tell the server that the run is over; return whether all arrived.

        Args:
            seconds: that it may take.
        """
        with self._changed:
            self._closing = True
            self._changed.notify()
        atexit.unregister(self.close)
        self._thread.join(seconds)
        return not (self._thread.is_alive() or self._waiting or self.dropped or self._refused)

    def _send_all(self) -> None:
        pause = GATHERING
        while True:
            with self._changed:
                while not self._waiting and not self._closing:
                    self._changed.wait()
                if not self._closing:
                    self._changed.wait(GATHERING)
                taken = list(self._waiting)[:AT_ONCE]
                over = self._closing and not taken
            try:
                self._deliver(taken, over)
            except RemoteError as error:
                if not self._goes_on(error):
                    return
                with self._changed:
                    self._changed.wait_for(lambda: self._closing, pause)
                    if self._closing and pause > 1.0:
                        return  # it was away for long: whoever ends need not wait for it
                pause = min(2.0 * pause, LONGEST)
                continue
            pause = GATHERING
            if over:
                return

    def _deliver(self, taken: list[tuple[int, dict[str, Any]]], over: bool) -> None:
        path = f"/v1/telemetry/runs/{self.run}"
        if not self._opened:
            self.client.ask("PUT", path, self.facts)
            self._opened = True
        if taken:
            body = {"first": taken[0][0], "events": [event for _, event in taken]}
            self.client.ask("POST", f"{path}/events", body)
            last = taken[-1][0]
            with self._changed:
                while self._waiting and self._waiting[0][0] <= last:
                    self._waiting.popleft()
        if over:
            self.client.ask("POST", f"{path}/end", {"dropped": self.dropped})

    def _goes_on(self, error: RemoteError) -> bool:
        """Tell whether to try again; what a server refuses, it would refuse again."""
        if not self._told:
            self._told = True
            then = "it is tried again" if error.again else "nothing more is sent there"
            logger.warning("l2o: telemetry: %s; %s, training goes on", error, then)
        if not error.again:
            with self._changed:
                self._refused = True
                self._waiting.clear()
        return error.again


def _plain(decision: Decision) -> dict[str, Any]:
    told = {
        "step": decision.step,
        "multipliers": list(decision.multipliers),
        "learning_rates": list(decision.learning_rates),
    }
    return told if decision.trouble is None else told | {"trouble": decision.trouble[:300]}
