"""Where an iteration's time went, as metrics by name."""

from __future__ import annotations

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


def time_metrics(
    shares: TimeShares, *, steps: int, fine_tunes: int, collecting: float, total: float
) -> dict[str, float]:
    """Return seconds, speeds, and the shares that the environments tell.

    Args:
        shares: of the environments.
        steps: optimizer steps of the inner networks.
        fine_tunes: those that ended.
        collecting: seconds of acting in the environments.
        total: seconds of the iteration.
    """
    return {
        "seconds": total,
        "seconds_collecting": collecting,
        "seconds_learning": total - collecting,
        "fine_tune_steps_per_second": steps / total,
        "fine_tunes_per_second": fine_tunes / total,
        **shares.read(collecting / total),
    }
