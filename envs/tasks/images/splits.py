"""From what lies in folders to the splits of a task."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from l2o.envs.tasks.images.classes import split_by_share
from l2o.envs.tasks.images.listing import Listing, few, has_folders, list_images
from l2o.envs.tasks.images.masked_images import MaskListing
from l2o.envs.tasks.images.options import ImageOptions

Whole = Listing | MaskListing
"""All images of a domain, as far as they are for one purpose."""


@dataclass(frozen=True, eq=False)
class Part:
    """Some images of a domain.

    Attributes:
        whole: all of them; what a cache is for.
        numbers: of those that are meant, in order.
    """

    whole: Whole
    numbers: np.ndarray

    @classmethod
    def all_of(cls, whole: Whole) -> Part:
        """Return all images."""
        return cls(whole, np.arange(len(whole)))

    def __len__(self) -> int:
        return len(self.numbers)


@dataclass(frozen=True, kw_only=True)
class Domains:
    """What a family found in its folders, before anything is drawn.

    Attributes:
        source: labelled synthetic images.
        target: real images, labelled or not.
        classes: names, in the order of labels.
        source_validation: held-out synthetic images; None: a share of `source`.
        target_validation: real images for rewards; None: a share of `target`.
        unlabelled: real images that neither score nor are for rewards; None: there are no others.
        retention: photographs that tell what is kept; None: the target's that score.
        sources: name of each source that `source` is made of -> its images, in their order; {}: it
            is one.
        facts: JSON-able: what was skipped, and so on.
    """

    source: Whole
    target: Whole
    classes: tuple[str, ...]
    source_validation: Whole | None = None
    target_validation: Whole | None = None
    unlabelled: Whole | None = None
    retention: Listing | None = None
    sources: Mapping[str, int] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)


def draw_splits(domains: Domains, options: ImageOptions, seed: int) -> dict[str, Part]:
    """Return the splits of a task by name; what is held out has its share of every class.

    Raises:
        ValueError: every class has a single image, of which no share can be held out.
    """
    splits: dict[str, Part] = {}
    for domain, purpose, held, rest, given in (
        (domains.source, 0, "source_validation", "source_train", domains.source_validation),
        (domains.target, 1, "target_validation", "target_test", domains.target_validation),
    ):
        if given is not None:
            splits[held], splits[rest] = Part.all_of(given), Part.all_of(domain)
            continue
        option = "validation" if purpose == 0 else "target_validation"
        share = getattr(options, option)
        chosen, others = split_by_share(_labels(domain), share, seed, purpose, option)
        splits[held], splits[rest] = Part(domain, chosen), Part(domain, others)
    if options.unlabelled is not None:
        splits |= draw_unlabelled(domains, options, splits["target_test"], seed)
    kept = domains.retention
    splits["proxy_test"] = splits["target_test"] if kept is None else Part.all_of(kept)
    return splits


def draw_unlabelled(
    domains: Domains, options: ImageOptions, test: Part, seed: int
) -> dict[str, Part]:
    """Return images to adapt to, and what scores beside them; labels have no say in it.

    Raises:
        ValueError: an image would both be adapted to and score, or nothing would score.
    """
    share = options.unlabelled
    if isinstance(share, str):
        given = list_images(share)
        _check_apart(given, test)
        if has_folders(share):
            warnings.warn(
                f"unlabelled={share!r} holds folders; their names are not taken as labels",
                stacklevel=2,
            )
        pool: Whole = given
        if isinstance(domains.target, MaskListing):
            pool = MaskListing(given, (), domains.target.coding)
        return {"target_train": Part.all_of(pool)}
    assert share is not None
    pool, numbers = test.whole, test.numbers
    if domains.unlabelled is not None:
        pool, numbers = domains.unlabelled, np.arange(len(domains.unlabelled))
        if share == 1.0:
            return {"target_train": Part(pool, numbers)}
    elif share == 1.0 and pool.labelled:
        raise ValueError(
            "unlabelled=1 leaves no labelled image of the target that would score; take a smaller "
            "share, or a folder of other images"
        )
    blind = np.zeros(len(numbers), dtype=np.int64)
    chosen, rest = split_by_share(blind, share, seed, 2, "unlabelled")
    found = {"target_train": Part(pool, numbers[chosen])}
    if pool is test.whole:
        found["target_test"] = Part(pool, numbers[rest])
    return found


def _check_apart(given: Listing, test: Part) -> None:
    """Raise ValueError if labelled images that score are among those to adapt to."""
    if not test.whole.labelled:
        return
    scored = test.whole.take(test.numbers)
    listing = scored.images if isinstance(scored, MaskListing) else scored
    places = {os.path.realpath(listing.path(number)) for number in range(len(listing))}
    own = [given.path(number) for number in range(len(given))]
    both = [path for path in own if os.path.realpath(path) in places]
    if both:
        raise ValueError(
            f"{len(both)} images of unlabelled={given.root!r} are among those that score: "
            f"{few(both, 1)}; take a folder of others, or a share of the target: unlabelled=0.5"
        )


def _labels(whole: Whole) -> np.ndarray:
    """Return what a split keeps the shares of; images with masks are all alike."""
    if isinstance(whole, Listing):
        return whole.labels
    return np.zeros(len(whole), dtype=np.int64)
