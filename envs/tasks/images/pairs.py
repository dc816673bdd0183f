"""Listings of images and their masks: paired by name, with sizes that agree."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from l2o.envs.runtime.cache_folder import cache_folder
from l2o.envs.tasks.images.decoding import CorruptImageError, read_size
from l2o.envs.tasks.images.listing import UNKNOWN, Listing, few, list_images
from l2o.envs.tasks.images.masked_images import MaskListing
from l2o.envs.tasks.images.masks import MaskCoding
from l2o.files.atomic import write_atomically


def pair_by_stem(
    root: Path, images: str, masks: str, coding: MaskCoding, names: Sequence[str] | None = None
) -> MaskListing:
    """Return the images of one folder, each with the mask of the same name in another.

    Endings may differ, as in `images/1.jpg` and `masks/1.png`; folders within may not.

    Args:
        root: the folder that holds both.
        images: name of the folder of images.
        masks: name of the folder of masks.
        coding: what values in masks mean.
        names: of the images that are meant, with or without ending; None: all.

    Raises:
        ValueError: a folder is missing or empty, an image has no mask, or there is no such image.
    """
    of_images = _stems(list_images(root / images))
    of_masks = _stems(list_images(root / masks))
    wanted = sorted(of_images) if names is None else [_stem(name) for name in names]
    for what, found, folder in (("image", of_images, images), ("mask", of_masks, masks)):
        missing = [stem for stem in wanted if stem not in found]
        if missing:
            raise ValueError(
                f"{len(missing)} of {len(wanted)} images have no {what} in {root / folder}: "
                f"{few(missing)}; images and masks belong together by name, as {images}/1.jpg "
                f"and {masks}/1.png"
            )
    idle = sorted(set(of_masks) - set(of_images))
    if idle and names is None:
        warnings.warn(
            f"{len(idle)} masks in {root / masks} have no image: {few(idle)}", stacklevel=2
        )
    listing = listing_of(root, [f"{images}/{of_images[stem]}" for stem in wanted])
    return MaskListing(listing, tuple(f"{masks}/{of_masks[stem]}" for stem in wanted), coding)


def listing_of(root: Path, paths: Sequence[str]) -> Listing:
    """Return a listing without labels of these paths."""
    return Listing(str(root), tuple(paths), np.full(len(paths), UNKNOWN, dtype=np.int64))


def drop_odd_sizes(pairs: MaskListing) -> tuple[MaskListing, list[str]]:
    """Return the pairs whose image and mask are of one size, and the paths of the other images.

    Sizes are read from the beginnings of files, and kept in the cache folder.
    """
    odd = _odd(pairs)
    kept = np.setdiff1d(np.arange(len(pairs)), odd)
    return pairs.take(kept), [pairs.images.paths[number] for number in odd]


def check_sizes(pairs: MaskListing) -> MaskListing:
    """Return pairs as they are.

    Raises:
        ValueError: the sizes of an image and of its mask differ.
    """
    odd = _odd(pairs)
    if odd:
        image, mask = pairs.images.path(odd[0]), pairs.mask_path(odd[0])
        raise ValueError(
            f"{len(odd)} of {len(pairs)} masks differ from their images in size, the first is "
            f"{mask} ({_told(mask)}) of {image} ({_told(image)}); make them alike, or remove both"
        )
    return pairs


def _odd(pairs: MaskListing) -> list[int]:
    """Return the numbers of the pairs whose sizes differ."""
    files = [(pairs.images.path(n), pairs.mask_path(n)) for n in range(len(pairs))]
    memory = cache_folder() / "images" / f"sizes-{_digest(files)}.json"
    with suppress(OSError, ValueError):
        known = json.loads(memory.read_text())
        if isinstance(known, list) and all(isinstance(n, int) for n in known):
            return known
    odd = [n for n, pair in enumerate(files) if _differ(*map(_size, pair))]
    with suppress(OSError):  # next time they are read again, and that is all
        write_atomically(memory, json.dumps(odd))
    return odd


def _differ(one: tuple[int, int] | None, other: tuple[int, int] | None) -> bool:
    """Tell whether two sizes are known, and not the same."""
    return one is not None and other is not None and one != other


def _size(path: str) -> tuple[int, int] | None:
    """Return an image's size; None where it cannot be read, which is told where it is used."""
    with suppress(CorruptImageError):
        return read_size(path)
    return None


def _digest(files: Sequence[tuple[str, str]]) -> str:
    digest = hashlib.sha256()
    for pair in files:
        for path in pair:
            with suppress(OSError):
                facts = os.stat(path)
                line = f"{os.path.abspath(path)}\0{facts.st_size}\0{facts.st_mtime_ns}\n"
                digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:32]


def _told(path: str) -> str:
    height, width = read_size(path)
    return f"{width}x{height}"


def _stems(listing: Listing) -> Mapping[str, str]:
    """Return the paths of a listing by name, less their endings.

    Raises:
        ValueError: two have the same.
    """
    found: dict[str, str] = {}
    for path in listing.paths:
        stem = _stem(path)
        if stem in found:
            raise ValueError(
                f"{listing.root} has both {found[stem]} and {path}; which of them a mask belongs "
                "to cannot be told: remove one"
            )
        found[stem] = path
    return found


def _stem(path: str) -> str:
    """Return a path without the ending of its file."""
    return os.path.splitext(path.strip())[0]
