"""Learning with stable-baselines3."""

from l2o.policies.sb3.policy import LayerActorCriticPolicy
from l2o.policies.sb3.ppo import PPOLearner
from l2o.policies.sb3.recurrent import RecurrentLayerPolicy

__all__ = ["LayerActorCriticPolicy", "PPOLearner", "RecurrentLayerPolicy"]
