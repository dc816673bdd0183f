"""What it costs to get there, in fine-tunes: one under the policy, a grid of them without."""

from __future__ import annotations

import math

from l2o.benchmarks.comparisons.zero_shot.result_models import Cost
from l2o.deciding.bundle import read_card


def count_cost(policy: str, at_use: int, tuning: int) -> Cost:
    """Return the costs, and after how many tasks the policy's training has paid off.

    Args:
        policy: the policy, as a config names it.
        at_use: fine-tunes that the policy takes on one task.
        tuning: fine-tunes that tuning the grid takes on one task.
    """
    training = training_cost(policy)
    saved = tuning - at_use
    pays_off = training is not None and saved > 0
    return Cost(
        at_use=at_use,
        tuning=tuning,
        training=training,
        amortised_after=math.ceil((training or 0) / saved) if pays_off else None,
    )


def training_cost(policy: str) -> int | None:
    """Return the fine-tunes that learning a policy took, by its card; None where it says none.

    A shipped one's card tells those of the whole run, from which the policy was chosen, and those
    of the policy it imitated.

    Example:
        >>> training_cost("asg-base") > 1000
        True
    """
    if ":" in policy:
        return None
    told = dict(read_card(policy).get("trained_on") or {})
    fine_tunes = told.get("fine_tunes_of_the_run", told.get("fine_tunes"))
    if fine_tunes is None:
        return None
    return int(fine_tunes) + int(told.get("fine_tunes_of_the_teacher", 0))
