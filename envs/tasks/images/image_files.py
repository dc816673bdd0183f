"""The data set of classification: image files, their classes, a transform."""

from __future__ import annotations

import operator
from collections.abc import Callable

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset

from l2o.envs.tasks.images.listing import Listing
from l2o.envs.tasks.images.pixels import OnCorrupt, PixelReader, Replacements


class ImageFiles(Dataset[tuple[Tensor, int]]):
    """Images of a listing and their classes, read one by one.

    Args:
        listing: paths and labels; -1 is an unknown label.
        transform: uint8 `[3, H, W]` -> float, as the network takes it.
        reader: gives pixels by an image's number; None decodes files as they are.
        numbers: of the listing's images in the reader, where that is of a larger listing.
        deterministic: whether an image is the same each time, so that answers to it may be kept.
        on_corrupt: "error" names the file; "skip" lets the next image take its place, and counts.

    Raises:
        ValueError: another `on_corrupt`, or not one number for each image.

    Example:
        >>> data = ImageFiles(list_class_folders("renders"), transform)  # doctest: +SKIP
        >>> image, label = data[0]  # doctest: +SKIP
    """

    def __init__(
        self,
        listing: Listing,
        transform: Callable[[Tensor], Tensor],
        *,
        reader: PixelReader | None = None,
        numbers: np.ndarray | None = None,
        deterministic: bool = False,
        on_corrupt: OnCorrupt = "error",
    ) -> None:
        if numbers is not None and len(numbers) != len(listing):
            raise ValueError(f"{len(numbers)} numbers but {len(listing)} images; give one for each")
        self.listing = listing
        self.transform = transform
        self.deterministic = deterministic
        self.reader = PixelReader(listing.path) if reader is None else reader
        self.numbers = np.arange(len(listing)) if numbers is None else numbers
        self.replacements = Replacements(len(listing), on_corrupt)

    def __len__(self) -> int:
        return len(self.listing)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """Return an image as the network takes it, and its class.

        Raises:
            IndexError: there is no such image.
            CorruptImageError: its file cannot be read.
        """
        index = place_of(index, len(self))
        pixels, label = self.replacements.read(index, self._read)
        return self.transform(pixels), label

    @property
    def corrupt(self) -> int:
        """How many images were found that cannot be read."""
        return self.replacements.count

    def _read(self, index: int) -> tuple[Tensor, int]:
        return self.reader.read(int(self.numbers[index])), int(self.listing.labels[index])


def place_of(index: int, length: int) -> int:
    """Return an index counted from the start.

    Raises:
        IndexError: there is no such example.
    """
    place = operator.index(index)
    if not -length <= place < length:
        raise IndexError(f"there is no example {place} of {length}")
    return place % length
