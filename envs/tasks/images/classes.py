"""Classes of source and target, held together by name, and splits that keep their shares."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from l2o.envs.tasks.images.listing import Listing, few

_STREAM = 16
"""Begins the entropy of splits, apart from other families' draws."""


def align(listing: Listing, classes: Sequence[str], of: str) -> Listing:
    """Return a listing whose labels are places in `classes`, found by the names of its own.

    Images of a class that is not among them can have no right answer: they are left out, with a
    warning that counts them. A class of `classes` that has no image here is warned of, too.

    Args:
        listing: labelled, or not: that stays as it is.
        classes: names, in the order of the network's outputs.
        of: what this is, for warnings: "target".

    Raises:
        ValueError: it shares no class with `classes`.
    """
    if not listing.labelled:
        return listing
    classes = tuple(classes)
    place = {name: number for number, name in enumerate(classes)}
    shared = [name for name in listing.classes if name in place]
    if not shared:
        raise ValueError(
            f"{listing.root} has no class of the source: its classes are {few(listing.classes)}, "
            f"the source's are {few(classes)}; name them alike, or take its images as unlabelled "
            "(target_labels=false)"
        )
    table = np.array([place.get(name, -1) for name in listing.classes], dtype=np.int64)
    labels = table[listing.labels]
    kept = np.flatnonzero(labels >= 0)
    if len(kept) < len(listing):
        strange = [name for name in listing.classes if name not in place]
        warnings.warn(
            f"{len(listing) - len(kept)} images of the {of} are left out: the source has no class "
            f"{few(strange)}",
            stacklevel=2,
        )
    aligned = replace(listing, labels=labels, classes=classes).take(kept)
    present = set(aligned.labels.tolist())
    absent = [name for number, name in enumerate(classes) if number not in present]
    if absent:
        warnings.warn(
            f"the {of} has no image of class {few(absent)}; answers of these classes are always "
            "wrong there",
            stacklevel=2,
        )
    return aligned


def split_by_share(
    labels: np.ndarray, share: float, seed: int, purpose: int, what: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return the places of a share of the images, and of the others, both in order.

    Each class gives its share, rounded, but at least one image, and keeps one at least; of a single
    image, none. What is drawn depends on the seed and the order of the labels, and on nothing else.

    Args:
        labels: of the images; one number where no class is known.
        share: in (0, 1).
        seed: of the draw.
        purpose: apart from draws of the same seed for something else.
        what: the option that has the share, for errors.

    Raises:
        ValueError: every class has a single image.

    Example:
        >>> held, rest = split_by_share(np.array([0, 0, 1, 1]), 0.5, 0, 0, "validation")
        >>> len(held), len(rest)
        (2, 2)
    """
    held: list[np.ndarray] = []
    for label in np.unique(labels).tolist():
        members = np.flatnonzero(labels == label)
        count = min(max(1, round(share * len(members))), len(members) - 1)
        generator = np.random.default_rng([_STREAM, purpose, seed, label + 1])
        held.append(generator.permutation(members)[:count])
    chosen = np.sort(np.concatenate(held)) if held else np.zeros(0, dtype=np.int64)
    if not len(chosen):
        raise ValueError(
            f"{what}={share:g} of {len(labels)} images, one of each class, is none; add images"
        )
    return chosen, np.setdiff1d(np.arange(len(labels)), chosen)
