"""What it costs to get there, in fine-tunes: one under the policy, a grid of them without."""

from __future__ import annotations

import math
from typing import Any

from l2o.bundle import read_card


def count_cost(policy: str, at_use: int, tuning: int) -> dict[str, Any]:
    """Return the costs, and after how many tasks the policy's training has paid off.

    Args:
        policy: the policy, as a config names it.
        at_use: fine-tunes that the policy takes on one task.
        tuning: fine-tunes that tuning the grid takes on one task.
    """
    training = training_cost(policy)
    saved = tuning - at_use
    return {
        "at_use": at_use,
        "tuning": tuning,
        "training": training,
        "amortised_after": None if training is None or saved <= 0 else math.ceil(training / saved),
    }


def training_cost(policy: str) -> int | None:
    """Return the fine-tunes that a policy was learned from, by its card; None where it says none.

    Example:
        >>> training_cost("asg-base") > 1000
        True
    """
    if ":" in policy:
        return None
    fine_tunes = dict(read_card(policy).get("trained_on") or {}).get("fine_tunes")
    return None if fine_tunes is None else int(fine_tunes)
