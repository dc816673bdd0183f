"""Listings: which images a data set has, and of which class; no image is opened for it."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
"""Endings of the files that count as images, in small or capital letters."""

UNKNOWN = -1
"""The label of an image whose class is not known."""


@dataclass(frozen=True, eq=False)
class Listing:
    """Images of a data set, by path, and their labels.

    Attributes:
        root: the folder that paths are relative to.
        paths: of the images, with `/` between folders.
        labels: int64 `[N]`, places in `classes`; -1 where the class is not known.
        classes: names, in the order of labels; () where no class is known.

    Example:
        >>> Listing("photos", ("cat/1.jpg",), np.array([0]), ("cat",)).labelled
        True
    """

    root: str
    paths: tuple[str, ...]
    labels: np.ndarray
    classes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def labelled(self) -> bool:
        """Whether the class of every image is known."""
        return bool(self.classes) and not bool((self.labels == UNKNOWN).any())

    def path(self, index: int) -> str:
        """Return where an image lies."""
        return os.path.join(self.root, self.paths[index])

    def take(self, indices: np.ndarray | Sequence[int]) -> Listing:
        """Return the listing of some of the images."""
        paths = tuple(self.paths[int(index)] for index in indices)
        return replace(self, paths=paths, labels=self.labels[np.asarray(indices, dtype=np.int64)])

    def without_labels(self) -> Listing:
        """Return the same images, of unknown class."""
        return replace(self, labels=np.full(len(self), UNKNOWN), classes=())

    @cached_property
    def content_hash(self) -> str:
        """The SHA-256 of paths, sizes in bytes and labels: the same on every machine."""
        digest = hashlib.sha256("\0".join(self.classes).encode())
        for path, size, label in zip(self.paths, self.sizes(), self.labels.tolist(), strict=True):
            digest.update(f"{path}\0{size}\0{label}\n".encode("utf-8", "surrogateescape"))
        return digest.hexdigest()

    def sizes(self) -> list[int]:
        """Return the sizes of the files in bytes."""
        return [os.stat(self.path(index)).st_size for index in range(len(self))]


def list_class_folders(root: str | Path, *, allow_empty: bool = False) -> Listing:
    """Return the listing of `root/CLASS/*.jpg`: every folder is a class, in order of their names.

    Images may lie in folders within that of their class. Files that are no images, and whatever
    begins with a dot, are left out.

    Args:
        root: the folder of the classes.
        allow_empty: whether a class may have no image.

    Raises:
        ValueError: there is no such folder, no folder in it, a folder without an image, or images
            beside the folders.
    """
    root = _folder(root)
    folders, loose = _look_into(root)
    if not folders:
        raise ValueError(
            f"{root} has no folders; images with a class are expected as {root}/CLASS/IMAGE.jpg"
        )
    if loose:
        raise ValueError(
            f"{root} has images beside its folders ({loose[0]}); put each into the folder of its "
            "class, or, of a target, say that there are no classes: target_labels=false"
        )
    paths: list[str] = []
    labels: list[int] = []
    for label, folder in enumerate(folders):
        found = sorted(_images_below(root, folder, ()))
        if not found and not allow_empty:
            raise ValueError(
                f"class {folder!r} has no image in {root / folder}; put some there, or remove the "
                f"folder. Images end in {', '.join(SUFFIXES)}"
            )
        paths += found
        labels += [label] * len(found)
    if not paths:
        raise ValueError(f"{root} has no image in its folders; they end in {', '.join(SUFFIXES)}")
    return Listing(str(root), tuple(paths), np.array(labels, dtype=np.int64), tuple(folders))


def list_images(root: str | Path) -> Listing:
    """Return the listing of all images in a folder and below, without labels.

    Raises:
        ValueError: there is no such folder, or no image in it.
    """
    root = _folder(root)
    paths = tuple(sorted(_images_below(root, "", ())))
    if not paths:
        raise ValueError(f"{root} has no image; they end in {', '.join(SUFFIXES)}")
    return Listing(str(root), paths, np.full(len(paths), UNKNOWN, dtype=np.int64))


def has_folders(root: str | Path) -> bool:
    """Tell whether a folder holds folders."""
    return bool(_look_into(_folder(root))[0])


def merge(listings: Sequence[Listing]) -> Listing:
    """Return several labelled listings as one, whose classes are those of all, by name."""
    first = listings[0]
    if len(listings) == 1:
        return first
    every = {name for each in listings for name in each.classes}
    classes = first.classes if set(first.classes) == every else tuple(sorted(every))
    for each in listings:
        lacking = sorted(every - set(each.classes))
        if lacking:
            warnings.warn(
                f"{each.root} has no class {few(lacking)}, which other sources have", stacklevel=2
            )
    root = os.path.commonpath([os.path.abspath(each.root) for each in listings])
    place = {name: number for number, name in enumerate(classes)}
    paths: list[str] = []
    labels: list[np.ndarray] = []
    for each in listings:
        within = os.path.relpath(os.path.abspath(each.root), root).replace(os.sep, "/")
        start = "" if within == "." else f"{within}/"
        paths += [start + path for path in each.paths]
        labels.append(np.array([place[name] for name in each.classes])[each.labels])
    return Listing(root, tuple(paths), np.concatenate(labels), classes)


def _folder(root: str | Path) -> Path:
    """Return a folder's path.

    Raises:
        ValueError: there is none.
    """
    path = Path(root).expanduser()
    if not path.is_dir():
        what = "is a file, not a folder" if path.exists() else "does not exist"
        raise ValueError(f"{path} {what}; give the folder that holds the images")
    return path


def _look_into(root: Path) -> tuple[list[str], list[str]]:
    """Return the names of the folders and of the images that lie right in a folder, in order."""
    folders, images = [], []
    with os.scandir(root) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                folders.append(entry.name)
            elif entry.name.lower().endswith(SUFFIXES):
                images.append(entry.name)
    return sorted(folders), sorted(images)


def _images_below(root: Path, folder: str, above: tuple[tuple[int, int], ...]) -> Iterator[str]:
    """Yield the paths of images in a folder and below; links are followed, but never in circles."""
    here = root / folder
    facts = here.stat()
    place = (facts.st_dev, facts.st_ino)
    if place in above:
        return
    folders, images = _look_into(here)
    start = f"{folder}/" if folder else ""
    for name in images:
        yield start + name
    for name in folders:
        yield from _images_below(root, start + name, (*above, place))


def few(names: Iterable[str], most: int = 5) -> str:
    """Return some names for a message, and how many more there are."""
    names = list(names)
    told = ", ".join(map(repr, names[:most]))
    return told if len(names) <= most else f"{told} and {len(names) - most} more"
