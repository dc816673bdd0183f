"""Weights of guidance terms: a number, or one that follows a schedule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, overload

import torch
from torch import Tensor

from l2o.checks import check_number
from l2o.registry import make_member
from l2o.schedules import SCHEDULES, Constant, Schedule


@dataclass(frozen=True)
class ScheduledWeight:
    """value · schedule(progress).

    Args:
        value: the factor on the schedule, not negative.
        schedule: a function of progress in [0, 1].

    Raises:
        ValueError: a negative or non-finite value.

    Example:
        >>> from l2o.schedules import Cosine
        >>> ScheduledWeight(0.4, Cosine()).at(0.5)
        0.2
    """

    value: float = 1.0
    schedule: Schedule = field(default_factory=Constant)

    def __post_init__(self) -> None:
        check_number("weight", self.value)

    @overload
    def at(self, progress: float) -> float: ...
    @overload
    def at(self, progress: Tensor) -> Tensor: ...
    def at(self, progress: float | Tensor) -> float | Tensor:
        """Return the weight at a progress: a number for a number, a tensor for a tensor."""
        if isinstance(progress, Tensor):
            return self.value * self.schedule(progress)
        return self.value * float(self.schedule(torch.tensor(progress, dtype=torch.float64)))


Weight = float | ScheduledWeight
"""A term's weight; configs write a number, or `{schedule: cosine, value: 0.3, end: 0.1}`."""


def as_weight(given: float | ScheduledWeight | Schedule | Mapping[str, Any]) -> Weight:
    """Return the weight that a number, a schedule or a config's mapping stands for.

    A mapping names a schedule (of `SCHEDULES`, or `package.module:Name`); `value` is the factor on
    it, 1 if not given, and all else goes to the schedule.

    Raises:
        ValueError: a negative number, an unknown schedule, or arguments that it refuses.

    Example:
        >>> as_weight({"schedule": "linear", "value": 2.0, "end": 0.5}).at(1.0)
        1.0
    """
    if isinstance(given, ScheduledWeight):
        return given
    if isinstance(given, Schedule):
        return ScheduledWeight(1.0, given)
    if not isinstance(given, Mapping):
        check_number("weight", given)
        return given
    options = dict(given)
    name = options.pop("schedule", None)
    if not isinstance(name, str):
        raise ValueError(
            "a weight must be a number, or name a schedule as in "
            f"{{schedule: cosine, value: 0.3}}, got {dict(given)}"
        )
    value = options.pop("value", 1.0)
    options = {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
    return ScheduledWeight(value, make_member("weight: schedule", SCHEDULES, name, options))
