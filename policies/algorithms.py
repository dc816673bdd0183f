"""The learning algorithms, by name; each is imported when it is used."""

from l2o.policies.common.learner import Learner
from l2o.registry import ImportedTable

ALGORITHMS: ImportedTable[type[Learner]] = ImportedTable(
    {
        "ppo": "l2o.policies.sb3.ppo:PPOLearner",
        "sac": "l2o.policies.sb3.sac:SACLearner",
        "reinforce": "l2o.policies.reinforce.learner:ReinforceLearner",
        "rllib_ppo": "l2o.policies.rllib.ppo:RLlibPPOLearner",
        "offline": "l2o.policies.offline.learner:OfflineLearner",
        "evolution": "l2o.policies.evolution:EvolutionLearner",
    }
)
"""Learning LR-control policies."""
