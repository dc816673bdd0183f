"""Real handwriting on photographs, synthetic digits from fonts: a task family with no download."""

from l2o.envs.tasks.digits.family import DigitsFamily

__all__ = ["DigitsFamily"]
