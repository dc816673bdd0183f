"""What an iteration tells of its episodes and of where its time went."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import VecEnv


class TimeShares:
    """Tells how the environments spent the time since it was last asked.

    Args:
        environments: each with a `stopwatch`.
    """

    def __init__(self, environments: VecEnv) -> None:
        self.environments = environments
        self._spent: dict[str, float] = {}

    def read(self, collecting: float) -> dict[str, float]:
        """Return the shares of an iteration's time, of which `collecting` went into collecting."""
        spent: dict[str, float] = {}
        for stopwatch in self.environments.get_attr("stopwatch"):
            for what, seconds in stopwatch.seconds.items():
                spent[what] = spent.get(what, 0.0) + seconds
        new = {what: seconds - self._spent.get(what, 0.0) for what, seconds in spent.items()}
        self._spent = spent
        total = sum(new.values())
        shares = {f"share_{what}": collecting * part / total for what, part in new.items()}
        return {**shares, "share_learning": 1.0 - collecting}


def summarise(infos: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Return means over episodes of their return and of what their last step's info tells."""
    if not infos:
        return {}
    means = {"return": float(np.mean([info["episode"]["r"] for info in infos]))}
    for name in ("target_accuracy", "validation_accuracy", "diverged"):
        values = [float(info[name]) for info in infos if name in info]
        if values:
            means[name] = float(np.mean(values))
    return means
