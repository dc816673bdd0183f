"""The family `folder`: a folder of labelled synthetic images, one of photographs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from l2o.envs.tasks.images.classes import align
from l2o.envs.tasks.images.family import ImageFamily
from l2o.envs.tasks.images.list_files import list_from_file
from l2o.envs.tasks.images.listing import (
    Listing,
    has_folders,
    list_class_folders,
    list_images,
)
from l2o.envs.tasks.images.options import ImageOptions
from l2o.envs.tasks.images.splits import Domains


@dataclass(frozen=True, kw_only=True)
class FolderOptions(ImageOptions):
    """Where the images are. Each is a folder `CLASS/IMAGE.jpg`, a list `path label`, or a CSV."""

    source: str = ""
    """Labelled synthetic images."""
    target: str = ""
    """Real images; with labels they are scored, without they only tell what is kept."""
    target_labels: bool | None = None
    """Whether the target's folders, or the labels of its list, are classes; None: if it has any."""
    classes: tuple[str, ...] = ()
    """Names of classes, in the order of numbers in lists; (): by name."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, what in (("source", "labelled synthetic images"), ("target", "photographs")):
            if not getattr(self, name):
                raise ValueError(
                    f"{name} is not given; it is a folder of {what}, {name}=path/to/images, with "
                    "a folder for each class"
                )


class FolderFamily(ImageFamily[FolderOptions]):
    """Fine-tune on a folder of renders, for a folder of photographs.

    Args:
        options: what may be chosen, `FolderOptions`; or its fields as keywords.

    Raises:
        TypeError: options of another family, both at once, or an unknown field.
        ValueError: a value is impossible.

    Example:
        >>> family = FolderFamily(source="renders", target="photos")
        >>> task = family.sample(seed=0)  # doctest: +SKIP
    """

    name: ClassVar[str] = "folder"
    Options: ClassVar[type[FolderOptions]] = FolderOptions

    def find(self) -> Domains:
        """List source, target and what is held out."""
        options = self.options
        source = list_labelled(options.source, options.classes)
        target = list_target(options.target, source.classes, options.target_labels)
        held = None
        if isinstance(options.validation, str):
            held = list_labelled(options.validation, options.classes)
            held = align(held, source.classes, "validation folder")
        return Domains(
            source=source,
            target=align(target, source.classes, "target"),
            classes=source.classes,
            source_validation=held,
            retention=self.retention(),
        )


def list_labelled(place: str, classes: tuple[str, ...] = ()) -> Listing:
    """Return the listing of images whose classes are known: by folder, list or CSV.

    Raises:
        ValueError: nothing there, no labels, or classes that are not those given.
    """
    if Path(place).expanduser().is_file():
        listing = list_from_file(place, classes=classes)
        if not listing.labelled:
            raise ValueError(
                f"{place} gives no labels; its lines are `relative/path label`, and a CSV has a "
                "column `label` or `class`"
            )
        return align(listing, classes, "list") if classes else listing
    listing = list_class_folders(place)
    if not classes:
        return listing
    return align(listing, classes, f"folder {place}")


def list_target(place: str, classes: tuple[str, ...], labelled: bool | None) -> Listing:
    """Return the listing of images whose classes may be known.

    Args:
        place: a folder, a list or a CSV.
        classes: the source's.
        labelled: whether they are known; None: if there are folders, or labels.

    Raises:
        ValueError: nothing there, or no labels where some are wanted.
    """
    if Path(place).expanduser().is_file():
        listing = list_from_file(place, numbered=classes)
        if labelled and not listing.labelled:
            raise ValueError(f"{place} gives no labels, but target_labels=true asks for them")
        return listing.without_labels() if labelled is False else listing
    if labelled is None:
        labelled = has_folders(place)
    return list_class_folders(place, allow_empty=True) if labelled else list_images(place)
