"""Images in memory as bytes, which are scaled and normalised as they are read."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from l2o.envs.networks.base import Inputs


class ByteImages:
    """A data set of images that are kept as bytes: a quarter of the memory, or far less.

    Args:
        images: uint8 `[N, H, W]`, grey, or `[N, 3, H, W]`.
        labels: int64 `[N]`; None: of each pixel, whether it is of the garment, which is what is
            not black.
        size: height and width that images are scaled to, bilinearly.
        inputs: what the network expects of pixels.

    Raises:
        ValueError: not as many labels as images.
    """

    def __init__(self, images: Tensor, labels: Tensor | None, size: int, inputs: Inputs) -> None:
        if labels is not None and len(labels) != len(images):
            raise ValueError(f"{len(images)} images but {len(labels)} labels; they must be paired")
        self.images = images
        self.labels = labels
        self.size = size
        self._mean, self._std = (
            torch.tensor(each).view(3, 1, 1) for each in (inputs.mean, inputs.std)
        )

    def relabelled(self, labels: Tensor) -> ByteImages:
        """Return the same images with other labels: int64 `[N]`, or of pixels `[N, H, W]`."""
        other = ByteImages(self.images, labels, self.size, Inputs())
        other._mean, other._std = self._mean, self._std
        return other

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        if not -len(self) <= index < len(self):
            raise IndexError(f"there is no example {index} of {len(self)}")
        image = self.images[index]
        pixels = (image if image.dim() == 3 else image[None]).float()[None]
        if pixels.shape[-1] != self.size:
            pixels = functional.interpolate(pixels, (self.size, self.size), mode="bilinear")
        scaled = (pixels[0] / 255.0 - self._mean) / self._std
        label = self._mask(image) if self.labels is None else self.labels[index]
        return scaled, label

    def _mask(self, image: Tensor) -> Tensor:
        """Return which pixels are of the garment, int64 `[size, size]`."""
        mask = (image > 0).float()[None, None]
        return functional.interpolate(mask, (self.size, self.size), mode="nearest")[0, 0].long()
