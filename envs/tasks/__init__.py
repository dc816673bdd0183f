"""Task families: seeded distributions of synthetic-to-real fine-tuning problems."""

from l2o.envs.tasks.base import Examples, Loading, Task, TaskFamily
from l2o.envs.tasks.composed import ComposedFamily
from l2o.envs.tasks.digits import DigitsFamily
from l2o.envs.tasks.garments import GarmentsFamily
from l2o.envs.tasks.images import (
    DomainsFamily,
    FolderFamily,
    FolderMasksFamily,
    GTA5CityscapesFamily,
    SynthiaCityscapesFamily,
    VisDA17Family,
)
from l2o.envs.tasks.shapes import ShapesFamily
from l2o.envs.tasks.textures import TexturesFamily

TASKS: dict[str, type[TaskFamily]] = {
    "digits": DigitsFamily,
    "textures": TexturesFamily,
    "shapes": ShapesFamily,
    "garments": GarmentsFamily,
    "composed": ComposedFamily,
    "folder": FolderFamily,
    "domains": DomainsFamily,
    "visda17": VisDA17Family,
    "folder_masks": FolderMasksFamily,
    "gta5_cityscapes": GTA5CityscapesFamily,
    "synthia_cityscapes": SynthiaCityscapesFamily,
}

__all__ = [
    "TASKS",
    "ComposedFamily",
    "DigitsFamily",
    "DomainsFamily",
    "Examples",
    "FolderFamily",
    "FolderMasksFamily",
    "GTA5CityscapesFamily",
    "GarmentsFamily",
    "Loading",
    "ShapesFamily",
    "SynthiaCityscapesFamily",
    "Task",
    "TaskFamily",
    "TexturesFamily",
    "VisDA17Family",
]
