"""The family `folder_masks`: folders of images and masks, for segmentation."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from l2o.configs.schema import Named
from l2o.envs.objectives import Objective
from l2o.envs.tasks.images.decoding import CorruptImageError
from l2o.envs.tasks.images.family import ImageFamily
from l2o.envs.tasks.images.listing import list_images
from l2o.envs.tasks.images.masked_images import MaskListing
from l2o.envs.tasks.images.masks import MaskCoding, coding_of
from l2o.envs.tasks.images.options import ImageOptions
from l2o.envs.tasks.images.pairs import check_sizes, pair_by_stem
from l2o.envs.tasks.images.scale_crop_mirror import IGNORED
from l2o.envs.tasks.images.splits import Domains

_LOOKED_AT = 16
"""Masks that are opened to see whether they hold classes at all."""

LAYOUT = (
    "expected are FOLDER/images/NAME.jpg and FOLDER/masks/NAME.png, greyscale or palette images "
    "whose values are classes"
)


@dataclass(frozen=True, kw_only=True)
class FolderMasksOptions(ImageOptions):
    """Where images and masks are, and what values in masks mean."""

    source: str = ""
    """A folder that holds `images` and `masks`: synthetic."""
    target: str = ""
    """A folder that holds `images` and `masks`, or, without masks, images: real."""
    classes: int | tuple[str, ...] = 0
    """Number of classes, or their names in the order of values."""
    values: Mapping[int, int] | None = None
    """What values in masks mean, {value: class}; None: they are the classes."""
    ignore: int = IGNORED
    """The value of pixels that count nowhere."""
    augment: tuple[str | Named, ...] | str | Named = ("scale_crop_mirror",)
    """Augmentations of training, one after the other, by name, with options or not."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("source", "target"):
            if not getattr(self, name):
                raise ValueError(f"{name} is not given; {LAYOUT}")
        if len(self.names()) < 2 or len(self.names()) > IGNORED:
            raise ValueError(
                f"classes={self.classes!r} must be 2 to {IGNORED}, or as many names: classes=3 or "
                "classes=[sky, road, car]"
            )
        self.coding()

    def names(self) -> tuple[str, ...]:
        """Return the names of the classes."""
        if isinstance(self.classes, int):
            return tuple(map(str, range(self.classes)))
        return tuple(map(str, self.classes))

    def coding(self) -> MaskCoding:
        """Return what values in masks mean.

        Raises:
            ValueError: a value means a class that there is not.
        """
        if self.values is None:
            return coding_of(self.names(), self.ignore)
        values = {int(value): int(label) for value, label in self.values.items()}
        for value, label in values.items():
            if label != IGNORED and not 0 <= label < len(self.names()):
                raise ValueError(
                    f"values maps {value} to class {label}; there are {len(self.names())}, "
                    f"numbered from 0, and {IGNORED} counts nowhere"
                )
        return MaskCoding({self.ignore: IGNORED, **values})


class FolderMasksFamily(ImageFamily[FolderMasksOptions]):
    """Fine-tune a segmentation network on a folder of renders with masks, for one of photographs.

    Args:
        options: what may be chosen, `FolderMasksOptions`; or its fields as keywords.

    Raises:
        TypeError: options of another family, both at once, or an unknown field.
        ValueError: a value is impossible.

    Example:
        >>> FolderMasksFamily(source="renders", target="photos", classes=3).options.names()
        ('0', '1', '2')
    """

    name: ClassVar[str] = "folder_masks"
    Options: ClassVar[type[FolderMasksOptions]] = FolderMasksOptions
    objective: str | Named | Objective = "segmentation"
    masks: ClassVar[bool] = True

    def find(self) -> Domains:
        """List images and masks."""
        held = self.options.validation
        source = self._pairs(self.options.source)
        _look_at_values(source)
        return Domains(
            source=source,
            target=self._pairs(self.options.target, may_lack_masks=True),
            classes=self.options.names(),
            source_validation=self._pairs(held) if isinstance(held, str) else None,
            retention=self.retention(),
        )

    def _pairs(self, folder: str, may_lack_masks: bool = False) -> MaskListing:
        """Return what a folder holds.

        Raises:
            ValueError: images or masks are missing, or differ in size.
        """
        root = Path(folder).expanduser()
        coding = self.options.coding()
        if may_lack_masks and not (root / "masks").is_dir():
            within = root / "images"
            return MaskListing(list_images(within if within.is_dir() else root), (), coding)
        for name in ("images", "masks"):
            if not (root / name).is_dir():
                raise ValueError(f"{root / name} is missing; {LAYOUT}")
        return check_sizes(pair_by_stem(root, "images", "masks", coding))


def _look_at_values(pairs: MaskListing) -> None:
    """Warn if some masks hold one class only: black and white ones have 255, which is ignored."""
    seen: set[int] = set()
    for number in range(min(len(pairs), _LOOKED_AT)):
        with suppress(CorruptImageError):  # told where it is read
            seen |= set(np.unique(pairs.coding.read(pairs.mask_path(number))).tolist())
    if len(seen - {IGNORED}) < 2:
        found = ", ".join(map(str, sorted(seen - {IGNORED}))) or "none"
        warnings.warn(
            f"of the classes, the first masks of {pairs.images.root} hold {found}, and pixels that "
            "count nowhere; if masks are black and white, say values={0: 0, 255: 1}",
            stacklevel=2,
        )
