"""Real handwriting on photographs, synthetic digits from fonts: a task family with no download."""

from l2o.envs.tasks.digits.family import DigitsFamily
from l2o.envs.tasks.digits.networks import NETWORKS, DigitsNetwork

__all__ = ["NETWORKS", "DigitsFamily", "DigitsNetwork"]
