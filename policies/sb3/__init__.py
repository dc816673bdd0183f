"""Learning with stable-baselines3."""

from l2o.policies.sb3.policy import LayerActorCriticPolicy
from l2o.policies.sb3.ppo import PPOLearner
from l2o.policies.sb3.recurrent import RecurrentLayerPolicy
from l2o.policies.sb3.sac import SACLearner
from l2o.policies.sb3.sac_policy import LayerSACPolicy

__all__ = [
    "LayerActorCriticPolicy",
    "LayerSACPolicy",
    "PPOLearner",
    "RecurrentLayerPolicy",
    "SACLearner",
]
