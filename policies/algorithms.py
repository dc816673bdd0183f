"""The learning algorithms, by name."""

from l2o.policies.common.learner import Learner
from l2o.policies.evolution import EvolutionLearner
from l2o.policies.reinforce.learner import ReinforceLearner
from l2o.policies.sb3.ppo import PPOLearner
from l2o.policies.sb3.sac import SACLearner

ALGORITHMS: dict[str, type[Learner]] = {
    "ppo": PPOLearner,
    "sac": SACLearner,
    "reinforce": ReinforceLearner,
    "evolution": EvolutionLearner,
}
