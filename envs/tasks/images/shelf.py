"""The data sets of a task, made of splits: those of one domain share its reader and its cache."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from l2o.envs.networks.base import PretrainedNetwork
from l2o.envs.tasks.base import LabelledData, TargetImages
from l2o.envs.tasks.images.augment import (
    STILL,
    Normalise,
    chain,
    scoring_transform,
    short_side,
    training_transform,
)
from l2o.envs.tasks.images.cache import PixelCache
from l2o.envs.tasks.images.cache_room import CacheRoom
from l2o.envs.tasks.images.image_files import ImageFiles
from l2o.envs.tasks.images.listing import Listing
from l2o.envs.tasks.images.masked_images import MaskedImages, MaskListing
from l2o.envs.tasks.images.options import ImageOptions
from l2o.envs.tasks.images.pixels import PixelReader
from l2o.envs.tasks.images.splits import Part, Whole


class Shelf:
    """Makes the data sets of a task.

    Args:
        options: what the user chose.
        network: what its inputs are like.
    """

    def __init__(self, options: ImageOptions, network: PretrainedNetwork) -> None:
        self.options = options
        self.inputs = network.inputs
        self.finish = Normalise(self.inputs)
        self._room = CacheRoom(options.cache_gb)
        self._blind: list[Whole] = []  # held, so that what is known of them by id stays theirs
        self._readers: dict[int, tuple[PixelReader, PixelCache | None]] = {}

    def take(self, split: str, part: Part) -> LabelledData:
        """Return the data set of a split."""
        reader, masks = self._reader(part.whole)
        shared: dict[str, Any] = {
            "reader": reader,
            "numbers": part.numbers,
            "on_corrupt": self.options.on_corrupt,
        }
        chosen = part.whole.take(part.numbers)
        if isinstance(chosen, MaskListing) and split != "proxy_test":
            transform = self._training(masks=True) if split == "source_train" else None
            return MaskedImages(
                chosen, transform, self.finish, masks=masks, fit=transform is not None, **shared
            )
        listing = chosen.images if isinstance(chosen, MaskListing) else chosen
        if split == "proxy_test":
            listing = listing.without_labels()
        train = split == "source_train"
        transform = self._training(masks=False) if train else scoring_transform(self.inputs)
        still = not train or self._draws_nothing()
        return ImageFiles(listing, chain(transform, self.finish), deterministic=still, **shared)

    def take_unlabelled(self, part: Part) -> TargetImages:
        """Return real images to adapt to: as they are trained on, and as they are scored."""
        labelled, blind = part.whole.labelled, _without_labels(part.whole)
        if blind is not part.whole:
            self._readers[id(blind)] = self._reader(part.whole)
            self._blind.append(blind)
        part = Part(blind, part.numbers)
        return TargetImages(
            self.take("source_train", part), self.take("target_test", part), labelled
        )

    def _draws_nothing(self) -> bool:
        names = [n if isinstance(n, str) else n.name for n in self.options.augmentations()]
        return set(names) <= STILL

    def _training(self, masks: bool) -> Any:
        return training_transform(self.options.augmentations(), self.inputs, masks)

    def _reader(self, whole: Whole) -> tuple[PixelReader, PixelCache | None]:
        """Return what gives a domain's images, and the cache of its masks, made once."""
        if id(whole) not in self._readers:
            self._readers[id(whole)] = self._make_reader(whole)
        return self._readers[id(whole)]

    def _make_reader(self, whole: Whole) -> tuple[PixelReader, PixelCache | None]:
        masked = isinstance(whole, MaskListing)
        listing = whole.images if isinstance(whole, MaskListing) else whole
        side = self.options.resize
        if side is None and not masked:
            side = short_side(self.inputs)
        cache = masks = None
        if self.options.cache:
            spec = {"side": side, "interpolation": self.inputs.interpolation}
            cache = self._room.open(_paths(listing), spec, side)
        # Without the images' own cache there is no room for masks either.
        if cache is not None and isinstance(whole, MaskListing) and whole.labelled:
            files = [whole.mask_path(number) for number in range(len(whole))]
            masks = self._room.open(files, {"coding": whole.coding.told()}, None, channels=1)
        return PixelReader(listing.path, side, self.inputs.interpolation, cache), masks


def _without_labels(whole: Whole) -> Whole:
    """Return the same images without labels."""
    if isinstance(whole, MaskListing):
        return replace(whole, masks=()) if whole.masks else whole
    return whole.without_labels() if whole.labelled else whole


def _paths(listing: Listing) -> list[str]:
    return [listing.path(number) for number in range(len(listing))]
