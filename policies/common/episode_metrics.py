"""What an iteration of stable-baselines3 tells of its episodes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger

from l2o.intervals import Interval
from l2o.policies.common.timings import TimeShares, time_metrics


class EpisodeWatch(BaseCallback):
    """Gathers the episodes that end, and the seconds spent collecting."""

    def __init__(self) -> None:
        super().__init__()
        self.episodes: list[dict[str, Any]] = []
        self.seconds = 0.0
        self._started = 0.0

    def _on_rollout_start(self) -> None:
        self._started = time.perf_counter()

    def _on_rollout_end(self) -> None:
        self.seconds += time.perf_counter() - self._started

    def _on_step(self) -> bool:
        self.episodes += [info for info in self.locals["infos"] if "episode" in info]
        return True

    def steps(self, decisions: int, interval: Interval) -> int:
        """Return the optimizer steps of so many decisions."""
        if interval.constant:
            return decisions * interval.window(0)
        # Windows of different lengths are counted as fine-tunes end.
        return sum(int(episode["step"]) for episode in self.episodes)


def summarise(infos: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Return means over episodes of their return and of what their last step's info tells."""
    if not infos:
        return {}
    means = {"return": float(np.mean([info["episode"]["r"] for info in infos]))}
    told = {name for info in infos for name in info if name.startswith(("target_", "validation_"))}
    for name in (*sorted(told), "diverged"):
        values = [float(info[name]) for info in infos if name in info]
        if values:
            means[name] = float(np.mean(values))
    return means


def learning_metrics(
    watch: EpisodeWatch, logger: Logger, shares: TimeShares, steps: int, seconds: float
) -> dict[str, float]:
    """Return the metrics of an iteration of stable-baselines3.

    Args:
        watch: what it has seen.
        logger: holds the algorithm's own values, named `train/...`.
        shares: of the environments.
        steps: optimizer steps of the inner networks.
        seconds: the iteration's.
    """
    logged = {
        name.removeprefix("train/"): float(value)
        for name, value in logger.name_to_value.items()
        if name.startswith("train/") and isinstance(value, (int, float, np.floating))
    }
    return {
        **summarise(watch.episodes),
        **logged,
        **time_metrics(
            shares,
            steps=steps,
            fine_tunes=len(watch.episodes),
            collecting=watch.seconds,
            total=seconds,
        ),
    }
