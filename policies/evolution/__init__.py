"""Evolution strategies."""

from l2o.policies.evolution.learner import EvolutionLearner

__all__ = ["EvolutionLearner"]
