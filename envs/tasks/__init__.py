"""Task families: seeded distributions of synthetic-to-real fine-tuning problems."""

from l2o.envs.tasks.base import Examples, Task, TaskFamily
from l2o.envs.tasks.digits import DigitsFamily
from l2o.envs.tasks.textures import TexturesFamily

TASKS: dict[str, type[TaskFamily]] = {"digits": DigitsFamily, "textures": TexturesFamily}

__all__ = ["TASKS", "DigitsFamily", "Examples", "Task", "TaskFamily", "TexturesFamily"]
