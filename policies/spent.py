"""How an iteration's time was spent, as metrics by name."""

from __future__ import annotations

from l2o.policies.sb3.episodes import TimeShares


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
