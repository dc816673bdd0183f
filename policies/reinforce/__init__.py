"""Learning with REINFORCE."""

from l2o.policies.reinforce.baselines import BASELINES
from l2o.policies.reinforce.learner import ReinforceLearner

__all__ = ["BASELINES", "ReinforceLearner"]
