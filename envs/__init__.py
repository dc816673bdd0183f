"""Gymnasium environments over fine-tunes; importing this registers `l2o/SynToReal-v0`."""

import gymnasium

from l2o.envs.finetune import FineTuneEnv
from l2o.envs.finetuning import FineTune

gymnasium.register(
    id="l2o/SynToReal-v0",
    entry_point="l2o.envs.finetune:FineTuneEnv",
    vector_entry_point="l2o.envs.stacked.env:StackedFineTuneEnv",
)

__all__ = ["FineTune", "FineTuneEnv"]
