"""Task families: seeded distributions of synthetic-to-real fine-tuning problems."""

from l2o.envs.tasks.base import Examples, Loading, Task, TaskFamily
from l2o.envs.tasks.digits import DigitsFamily
from l2o.envs.tasks.garments import GarmentsFamily
from l2o.envs.tasks.shapes import ShapesFamily
from l2o.envs.tasks.textures import TexturesFamily

TASKS: dict[str, type[TaskFamily]] = {
    "digits": DigitsFamily,
    "textures": TexturesFamily,
    "shapes": ShapesFamily,
    "garments": GarmentsFamily,
}

__all__ = [
    "TASKS",
    "DigitsFamily",
    "Examples",
    "GarmentsFamily",
    "Loading",
    "ShapesFamily",
    "Task",
    "TaskFamily",
    "TexturesFamily",
]
