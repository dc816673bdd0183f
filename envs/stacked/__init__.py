"""Stacked fine-tunes: N networks trained and evaluated as one computation on one device."""

from l2o.envs.stacked.env import StackedFineTuneEnv
from l2o.envs.stacked.finetuning import StackedFineTune
from l2o.envs.stacked.start import Start

__all__ = ["StackedFineTune", "StackedFineTuneEnv", "Start"]
