"""The data set of segmentation: images and masks that move along."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from l2o.envs.tasks.images.cache import PixelCache
from l2o.envs.tasks.images.image_files import place_of
from l2o.envs.tasks.images.listing import Listing
from l2o.envs.tasks.images.masks import MaskCoding
from l2o.envs.tasks.images.pixels import OnCorrupt, PixelReader, Replacements
from l2o.envs.tasks.images.scale_crop_mirror import IGNORED
from l2o.extras import needed_by


@dataclass(frozen=True, eq=False)
class MaskListing:
    """Images and the masks that belong to them.

    Attributes:
        images: their listing, without classes.
        masks: paths relative to `images.root`, one for each image; () where there are none.
        coding: how masks are read.
    """

    images: Listing
    masks: tuple[str, ...]
    coding: MaskCoding

    def __len__(self) -> int:
        return len(self.images)

    @property
    def labelled(self) -> bool:
        """Whether there are masks."""
        return bool(self.masks)

    def mask_path(self, index: int) -> str:
        """Return where an image's mask lies."""
        return os.path.join(self.images.root, self.masks[index])

    def take(self, indices: np.ndarray | Sequence[int]) -> MaskListing:
        """Return the listing of some of the images."""
        masks = tuple(self.masks[int(index)] for index in indices) if self.masks else ()
        return replace(self, images=self.images.take(indices), masks=masks)


class MaskedImages(Dataset[tuple[Tensor, Tensor]]):
    """Images of a listing and a class for each of their pixels, read one by one.

    Where there are no masks, all pixels have the label that counts nowhere, 255.

    Args:
        listing: images and masks.
        transform: (uint8 image `[3, H, W]`, uint8 mask `[H, W]`), which torchvision's transforms
            know as such, -> the same, changed; None: nothing is changed.
        finish: image -> float, as the network takes it.
        reader: gives images by number; None decodes files as they are.
        masks: holds masks that were read; None decodes them each time.
        numbers: of the listing's images in reader and cache, where these are of a larger listing.
        fit: whether masks get the size of their images, where these are shrunk: to train on both.
        on_corrupt: as in `ImageFiles`.
    """

    def __init__(
        self,
        listing: MaskListing,
        transform: Callable[[Any, Any], Any] | None,
        finish: Callable[[Tensor], Tensor],
        *,
        reader: PixelReader | None = None,
        masks: PixelCache | None = None,
        numbers: np.ndarray | None = None,
        fit: bool = False,
        on_corrupt: OnCorrupt = "error",
    ) -> None:
        self.listing = listing
        self.transform = transform
        self.finish = finish
        self.reader = PixelReader(listing.images.path) if reader is None else reader
        self.masks = masks
        self.numbers = np.arange(len(listing)) if numbers is None else numbers
        self.fit = fit
        self.replacements = Replacements(len(listing), on_corrupt)
        self.on_corrupt = on_corrupt
        self.given: Sequence[Tensor] | None = None

    def relabelled(self, masks: Sequence[Tensor]) -> MaskedImages:
        """Return the same images with masks in memory, which move along with them.

        Args:
            masks: uint8 `[h, w]`, one for each image; of any size, that of images in the end.
        """
        other = copy.copy(self)
        other.replacements = Replacements(len(self), self.on_corrupt)
        other.given = masks
        return other

    def __len__(self) -> int:
        return len(self.listing)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Return an image as the network takes it, and the classes of its pixels, int64 `[H, W]`.

        Raises:
            IndexError: there is no such image.
            CorruptImageError: a file cannot be read, or a mask holds a value that is no class.
        """
        with needed_by("a data set of images"):
            from torchvision import tv_tensors
        index = place_of(index, len(self))
        image, mask = self.replacements.read(index, self._read)
        if self.transform is not None:
            image, mask = self.transform(tv_tensors.Image(image), tv_tensors.Mask(mask))
        return self.finish(image), mask.as_subclass(Tensor).long()

    @property
    def corrupt(self) -> int:
        """How many examples were found that cannot be read."""
        return self.replacements.count

    def _read(self, index: int) -> tuple[Tensor, Tensor]:
        image = self.reader.read(int(self.numbers[index]))
        size = image.shape[-2:]
        if self.given is not None:
            given = self.given[index]
            return image, given if given.shape == size else _nearest(given, size)
        if not self.listing.labelled:
            return image, torch.full(size, IGNORED, dtype=torch.uint8, device="cpu")
        make = partial(self._make_mask, index)
        number = int(self.numbers[index])
        pixels = make() if self.masks is None else self.masks.get(number, make)
        mask = torch.from_numpy(pixels.copy())[:, :, 0]
        if self.fit and mask.shape != size:
            mask = _nearest(mask, size)
        return image, mask

    def _make_mask(self, index: int) -> np.ndarray:
        return self.listing.coding.read(self.listing.mask_path(index))[:, :, None]


def _nearest(mask: Tensor, size: Sequence[int]) -> Tensor:
    """Return a mask `[H, W]` of another size, each pixel of the class of the nearest."""
    with needed_by("a data set of images"):
        from torchvision.transforms.v2 import InterpolationMode, functional
    scaled: Tensor = functional.resize(mask[None], list(size), InterpolationMode.NEAREST_EXACT)
    return scaled[0]
