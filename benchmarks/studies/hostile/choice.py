"""What of a set is asked for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Choice:
    """A part of a set; an empty tuple stands for everything there is.

    Attributes:
        policies: shipped policies.
        networks: names of networks.
        optimizers: names of optimizers.
        schedules: names of schedules.
        orders: "before" and "after": when the user makes the scheduler.
        steps: of every run; None takes the network's.
        seeds: runs of each kind.
    """

    policies: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    optimizers: tuple[str, ...] = ()
    schedules: tuple[str, ...] = ()
    orders: tuple[str, ...] = ("before", "after")
    steps: int | None = None
    seeds: int = 1
