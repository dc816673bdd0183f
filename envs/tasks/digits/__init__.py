"""Real handwriting on photographs, synthetic digits from fonts: a task family with no download."""

from l2o.envs.tasks.digits.family import DigitsFamily
from l2o.envs.tasks.digits.network import DigitsNetwork

__all__ = ["DigitsFamily", "DigitsNetwork"]
