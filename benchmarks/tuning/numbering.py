"""The number of a trial, in the order in which a search begins them."""

from __future__ import annotations

import re
from typing import Any

_COUNTED = re.compile(r".+_(\d{5})")
"""Ids of trials that Ray Tune draws by itself; those of searchers are hexadecimal digits."""


def number_of(trial: Any) -> int:
    """Return the number of a trial of Ray Tune's, from 0.

    Its id ends with it, unless a searcher such as Optuna made it: then its tag begins with it, and
    counts from 1.

    Example:
        >>> from types import SimpleNamespace as Trial
        >>> number_of(Trial(trial_id="trial_4e93a_00002", experiment_tag="2_base_lr=0.1"))
        2
        >>> number_of(Trial(trial_id="4e93a5f8", experiment_tag="3_base_lr=0.1"))
        2
    """
    counted = _COUNTED.fullmatch(trial.trial_id)
    if counted is not None:
        return int(counted[1])
    return int(trial.experiment_tag.partition("_")[0]) - 1


def name_of(trial: Any) -> str:
    """Return a trial's name, by which its worker knows the number (`number_in`)."""
    return f"trial_{number_of(trial):05d}"


def number_in(name: str) -> int:
    """Return the number in a name.

    Example:
        >>> number_in("trial_00012")
        12
    """
    return int(name.rpartition("_")[2])
