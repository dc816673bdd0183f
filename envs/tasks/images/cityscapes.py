"""Cityscapes: its 19 classes, its files, and the families that are scored on it."""

from __future__ import annotations

import os
from abc import abstractmethod
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from l2o.configs.schema import Named
from l2o.envs.objectives import Objective
from l2o.envs.tasks.images.family import ImageFamily
from l2o.envs.tasks.images.listing import few, list_images
from l2o.envs.tasks.images.masked_images import MaskListing
from l2o.envs.tasks.images.masks import MaskCoding
from l2o.envs.tasks.images.options import ImageOptions
from l2o.envs.tasks.images.pairs import listing_of
from l2o.envs.tasks.images.scale_crop_mirror import IGNORED
from l2o.envs.tasks.images.splits import Domains

CLASSES = (
    "road",
    "sidewalk",
    "building",
    "wall",
    "fence",
    "pole",
    "traffic light",
    "traffic sign",
    "vegetation",
    "terrain",
    "sky",
    "person",
    "rider",
    "car",
    "truck",
    "bus",
    "train",
    "motorcycle",
    "bicycle",
)
"""The classes that count, in the order of train ids."""

_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)

CODING = MaskCoding({identity: number for number, identity in enumerate(_IDS)}, others=IGNORED)
"""From the ids in `_labelIds.png` to train ids; all others count nowhere. GTA5 has the same."""

LAYOUT = (
    "expected are CITYSCAPES/leftImg8bit/SPLIT/CITY/*_leftImg8bit.png and, beside it, "
    "CITYSCAPES/gtFine/SPLIT/CITY/*_gtFine_labelIds.png, of the packages leftImg8bit_trainvaltest "
    "and gtFine_trainvaltest (cityscapes-dataset.com)"
)

_IMAGE, _LABELS = "_leftImg8bit.png", "_gtFine_labelIds.png"


@dataclass(frozen=True, kw_only=True)
class CityscapesOptions(ImageOptions):
    """Where the source and Cityscapes lie."""

    root: str = ""
    """The folder of the source's data set."""
    cityscapes: str = ""
    """The folder that holds `leftImg8bit` and `gtFine`."""
    source_list: str | None = None
    """A file with the names of the source images that are trained on, a line each; None: all."""
    augment: tuple[str | Named, ...] | str | Named = (
        Named(name="scale_crop_mirror", options={"crop": 512}),
    )
    """Augmentations of training, one after the other, by name, with options or not."""
    batch_size: int = 6
    """Images per optimizer step."""
    base_lr: float = 0.001
    """The base learning rate."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("root", "cityscapes"):
            if not getattr(self, name):
                raise ValueError(
                    f"{name} is not given; say root=path/to/source cityscapes=path/to/cityscapes"
                )

    def listed(self) -> list[str] | None:
        """Return the names of the source images that are meant, None for all.

        Raises:
            ValueError: there is no such list, or nothing in it.
        """
        if self.source_list is None:
            return None
        file = Path(self.source_list).expanduser()
        if not file.is_file():
            raise ValueError(f"source_list={self.source_list!r} does not exist")
        lines = file.read_text(encoding="utf-8-sig").splitlines()
        # Lists of releases have paths, and some a label's path after it.
        names = [os.path.basename(line.split()[0]) for line in lines if line.strip()]
        if not names:
            raise ValueError(f"source_list={self.source_list!r} names no image; a line for each")
        return sorted(set(names))


Chosen = TypeVar("Chosen", bound=CityscapesOptions)


class CityscapesFamily(ImageFamily[Chosen]):
    """From a synthetic source to Cityscapes: its 500 validation images score, whole.

    A share of its training images (`target_validation`) is what rewards may look at.
    """

    Options: ClassVar[type[Any]] = CityscapesOptions
    objective: str | Named | Objective = "segmentation"
    masks: ClassVar[bool] = True

    @abstractmethod
    def find_source(self) -> tuple[MaskListing, dict[str, Any]]:
        """Return the source's images and masks, and facts of them for the card."""

    def source_root(self, *folders: str, layout: str) -> Path:
        """Return the folder of the source's data set.

        Args:
            folders: that must be in it.
            layout: what is expected and where it is to be had, for the error.

        Raises:
            ValueError: one of the folders is missing.
        """
        root = Path(self.options.root).expanduser()
        for folder in folders:
            if not (root / folder).is_dir():
                raise ValueError(f"{root / folder} is missing; {layout}")
        return root

    def find(self) -> Domains:
        """List the source, and training and validation images of Cityscapes."""
        if isinstance(self.options.validation, str):
            raise ValueError(
                f"validation={self.options.validation!r} is to be a share here: of the source's "
                "images, as 0.05"
            )
        source, facts = self.find_source()
        root = Path(self.options.cityscapes).expanduser()
        train = list_cityscapes(root, "train")
        return Domains(
            source=source,
            target=list_cityscapes(root, "val"),
            target_validation=train.take(self._held(train)),
            unlabelled=self._others(train),
            classes=CLASSES,
            retention=self.retention(),
            facts=facts,
        )

    def _held(self, train: MaskListing) -> range:
        """Return the places of a share of the training images, spread evenly over their cities."""
        return range(0, len(train), max(1, round(1 / self.options.target_validation)))

    def _others(self, train: MaskListing) -> MaskListing | None:
        """Return the other training images, without masks; None where there are none."""
        held = set(self._held(train))
        rest = train.take([number for number in range(len(train)) if number not in held])
        return replace(rest, masks=()) if len(rest) else None


def list_cityscapes(root: Path, split: str) -> MaskListing:
    """Return the images and masks of train or val.

    Raises:
        ValueError: a folder or a mask is missing.
    """
    folder = root / "leftImg8bit" / split
    if not folder.is_dir():
        raise ValueError(f"{folder} is missing; {LAYOUT}")
    images = [path for path in list_images(folder).paths if path.endswith(_IMAGE)]
    if not images:
        raise ValueError(f"{folder} has no image *{_IMAGE}; {LAYOUT}")
    masks = [f"gtFine/{split}/{path.removesuffix(_IMAGE)}{_LABELS}" for path in images]
    missing = [mask for mask in masks if not (root / mask).is_file()]
    if missing:
        raise ValueError(
            f"{len(missing)} of {len(masks)} masks are missing in {root}: {few(missing, 1)}; "
            f"{LAYOUT}"
        )
    paths = [f"leftImg8bit/{split}/{path}" for path in images]
    return MaskListing(listing_of(root, paths), tuple(masks), CODING)
