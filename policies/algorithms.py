"""The learning algorithms, by name."""

from l2o.policies.base import Learner
from l2o.policies.evolution import EvolutionLearner
from l2o.policies.reinforce.learner import ReinforceLearner
from l2o.policies.sb3.ppo import PPOLearner

ALGORITHMS: dict[str, type[Learner]] = {
    "ppo": PPOLearner,
    "reinforce": ReinforceLearner,
    "evolution": EvolutionLearner,
}
