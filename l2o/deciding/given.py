"""Policies as users give them: objects, or names that stand for one."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from l2o.deciding.by_name import load_policy
from l2o.deciding.policy import Policy


def as_policy(
    given: Any,
    what: str = "policy",
    named: Callable[[str], Policy] = load_policy,
    names: str = "the name or folder of a learned one",
) -> Policy:
    """Return a policy as it is, or the one that a name stands for.

    Args:
        given: a policy, a name, or a path.
        what: the argument, for the error.
        named: makes a policy of a name or path.
        names: what names stand for, for the error.

    Raises:
        TypeError: neither of them, or the class of a policy.
        ValueError: a name that stands for nothing.

    Example:
        >>> from l2o.deciding.schedule_policy import SchedulePolicy
        >>> as_policy("cosine", named=SchedulePolicy)
        SchedulePolicy(Cosine(...), Flat(), interval=1)
    """
    if isinstance(given, Policy):
        return given
    if isinstance(given, str | os.PathLike):
        return named(os.fspath(given))
    raise TypeError(
        f"{what} must be an l2o.Policy or {names}, got {given!r:.100}; "
        "l2o.load_policy(...) loads a learned one, l2o.SchedulePolicy(...) makes a schedule"
    )
