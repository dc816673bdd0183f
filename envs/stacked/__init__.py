"""Stacked fine-tunes: N networks trained and evaluated as one computation on one device."""

from l2o.envs.stacked.environment import StackedFineTuneEnv
from l2o.envs.stacked.fine_tune import StackedFineTune
from l2o.envs.stacked.start import Start

__all__ = ["StackedFineTune", "StackedFineTuneEnv", "Start"]
