"""Reading images of a listing: decoded, shrunk, from the cache if there is one."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from l2o.envs.tasks.images.cache import PixelCache
from l2o.envs.tasks.images.decoding import CorruptImageError, decode_rgb
from l2o.extras import needed_by

OnCorrupt = Literal["error", "skip"]
"""What happens where an image cannot be read."""


class PixelReader:
    """Gives images as uint8 `[3, H, W]`, their shorter side no longer than `side`.

    Shrinking is the same for every reading, so it is what a cache may hold; enlarging waits for
    the transform, which would have to scale anyway.

    Args:
        paths: gives the path of an image by its number.
        side: the longest that the shorter side may be; None leaves images as they are.
        interpolation: how they are shrunk.
        cache: holds what was decoded and shrunk; None decodes each time.
    """

    def __init__(
        self,
        paths: Callable[[int], str],
        side: int | None = None,
        interpolation: str = "bilinear",
        cache: PixelCache | None = None,
    ) -> None:
        self.paths = paths
        self.side = side
        self.interpolation = interpolation
        self.cache = cache

    def read(self, number: int) -> Tensor:
        """Return an image.

        Raises:
            CorruptImageError: it cannot be read.
        """
        make = partial(self._make, number)
        pixels = make() if self.cache is None else self.cache.get(number, make)
        # What is mapped into memory must not be written to, which torch has no word for.
        if not pixels.flags.writeable:
            pixels = pixels.copy()
        return torch.from_numpy(pixels).permute(2, 0, 1)

    def _make(self, number: int) -> np.ndarray:
        pixels = decode_rgb(self.paths(number))
        if self.side is None or min(pixels.shape[:2]) <= self.side:
            return pixels
        image = torch.from_numpy(pixels.copy()).permute(2, 0, 1)
        return np.ascontiguousarray(shrink(image, self.side, self.interpolation).permute(1, 2, 0))


def shrink(image: Tensor, side: int, interpolation: str) -> Tensor:
    """Return an image whose shorter side is `side`, the other in proportion."""
    with needed_by("a data set of images"):
        from torchvision.transforms.v2 import InterpolationMode, functional
    found: Tensor = functional.resize(
        image, [side], InterpolationMode(interpolation), antialias=True
    )
    return found


class Replacements:
    """What stands in for examples that cannot be read: the next one that can.

    So the same examples are replaced by the same ones in every run. How many were is counted
    across the processes of a loader.

    Args:
        examples: number of examples.
        on_corrupt: "error" raises what was raised; "skip" replaces, with one warning.

    Raises:
        ValueError: it is neither.
    """

    def __init__(self, examples: int, on_corrupt: OnCorrupt) -> None:
        if on_corrupt not in ("error", "skip"):
            raise ValueError(f"on_corrupt={on_corrupt!r} is neither 'error' nor 'skip'")
        self.on_corrupt = on_corrupt
        self._corrupt = torch.zeros(examples, dtype=torch.bool, device="cpu").share_memory_()

    @property
    def count(self) -> int:
        """How many examples were found that cannot be read."""
        return int(self._corrupt.sum())

    def read(self, index: int, make: Callable[[int], Any]) -> Any:
        """Return what `make(index)` gives, or the next that can be read.

        Raises:
            CorruptImageError: it cannot be read, and errors are wanted, or no example can.
        """
        examples = len(self._corrupt)
        for step in range(examples):
            place = (index + step) % examples
            try:
                return make(place)
            except CorruptImageError as error:
                if self.on_corrupt == "error":
                    raise
                self._note(place, error)
        raise CorruptImageError("not one image of the data set can be read; see the warnings")

    def _note(self, place: int, error: CorruptImageError) -> None:
        first = not bool(self._corrupt.any())
        self._corrupt[place] = True
        if first:
            warnings.warn(
                f"{error}. The next image takes its place, as that of any other that cannot be "
                "read; they are counted",
                stacklevel=4,
            )
