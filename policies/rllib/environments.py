"""The stacked fine-tunes as RLlib's vector environment, and what it counts of their episodes."""

from __future__ import annotations

from typing import Any

from ray.rllib.callbacks.callbacks import RLlibCallback

from l2o.configs.schema import TrainConfig
from l2o.envs.stacked import StackedFineTuneEnv
from l2o.envs.tasks.build import build_task

TOLD = "l2o/"
"""What names of metrics begin with that episodes tell."""


def make_environments(context: dict[str, Any]) -> StackedFineTuneEnv:
    """Make the stacked environments of one runner: as many as it asks for, or one for the spaces.

    RLlib resets where gymnasium's `NextStep` does: in the step after an episode's last.
    """
    import torch

    torch.set_num_threads(1)
    config = TrainConfig.model_validate_json(context["train"])
    return StackedFineTuneEnv(
        build_task(config.task),
        config.finetuning,
        config.environment,
        num_envs=int(context.get("num_envs", 1)),
        autoreset_mode="NextStep",
    )


class EpisodeNotes(RLlibCallback):
    """Notes how each episode ended.

    RLlib cuts an episode where an iteration ends, and what is left of it knows only the rewards
    since: returns are added up here.
    """

    def __init__(self) -> None:
        super().__init__()
        self.returns: dict[str, float] = {}

    def on_episode_step(self, *, episode: Any, **_: Any) -> None:
        """Add the newest reward to the episode's return."""
        sofar = self.returns.get(episode.id_, 0.0)
        self.returns[episode.id_] = sofar + float(episode.get_rewards(-1))

    def on_episode_end(self, *, episode: Any, metrics_logger: Any, **_: Any) -> None:
        """Log return and what the last info tells of the target."""
        info = episode.get_infos(-1)
        told = {"return": self.returns.pop(episode.id_, 0.0), "episodes": 1.0}
        for name, value in info.items():
            if name.startswith(("target_", "validation_")) or name == "diverged":
                told[name] = float(value)
        for name, value in told.items():
            how = "sum" if name == "episodes" else "mean"
            metrics_logger.log_value(f"{TOLD}{name}", value, reduce=how, window=None)
