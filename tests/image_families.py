"""Families over image files on miniatures, for their tests."""

import image_sets as sets

from l2o.configs.schema import Named
from l2o.envs.build import build
from l2o.envs.tasks import TASKS
from l2o.envs.tasks.images import ImageFamily

SHORT = {"workers": 0, "batch_size": 4, "steps": 3, "validation": 0.4, "target_validation": 0.4}
DENSE = {**SHORT, "network": "tiny:dense", "resize": 20}
DENSE["augment"] = (Named(name="scale_crop_mirror", options={"crop": 16}),)
FAMILIES = [name for name in TASKS if issubclass(TASKS[name], ImageFamily)]


def make(name, root, **options):
    """Write a family's miniature and return the family on it."""
    if name == "folder":
        places = {
            "source": str(sets.class_folders(root / "renders", ["a", "b", "c"])),
            "target": str(sets.class_folders(root / "photos", ["a", "b", "c"], start=50)),
        }
    elif name == "domains":
        sets.office31(root)
        places = {"root": str(root), "source": ["amazon", "dslr"], "target": "webcam"}
    elif name == "visda17":
        places = {"root": str(sets.visda17(root, images=5))}
    elif name == "folder_masks":
        places = {
            "source": str(sets.folder_masks(root / "renders")),
            "target": str(sets.folder_masks(root / "photos", palette=True)),
            "classes": 3,
        }
    else:
        write = {"gta5_cityscapes": sets.gta5, "synthia_cityscapes": sets.synthia}[name]
        write(root / "source")
        sets.cityscapes(root / "city")
        places = {"root": str(root / "source"), "cityscapes": str(root / "city")}
    short = DENSE if TASKS[name].masks else SHORT
    return build("task", TASKS, Named(name=name, options={**short, **places, **options}))


def paths_of(data):
    listing = getattr(data.listing, "images", data.listing)
    return [listing.path(number) for number in range(len(listing))]
