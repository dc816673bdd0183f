"""The augmentation of segmentation: a scale, a random crop, mirroring; masks move along."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from l2o.envs.networks.base import Inputs
from l2o.extras import needed_by

IGNORED = 255
"""The label of pixels that count nowhere; what padding has."""


class ScaleCropMirror:
    """Scales an image by one of several factors, cuts out a random part of a size, mirrors it.

    What is too small is padded to the right and below: the image by its mean colour, which is the
    network's zero, the mask by `IGNORED`.

    Args:
        inputs: of the network.
        scales: factors, each as likely.
        crop: height and width (or one number for both); None: those of `inputs`.
        p: probability of mirroring.

    Raises:
        ValueError: no scale or none above 0, or no size.
    """

    def __init__(
        self, inputs: Inputs, scales: Sequence[float], crop: int | Sequence[int] | None, p: float
    ) -> None:
        self.scales = tuple(float(scale) for scale in scales)
        if not self.scales or min(self.scales) <= 0.0:
            raise ValueError(f"scale_crop_mirror: scales={scales!r} must be numbers above 0")
        size = inputs.size if crop is None else (crop, crop) if isinstance(crop, int) else crop
        if len(size) != 2 or min(size) < 1:
            raise ValueError(f"scale_crop_mirror: crop={crop!r} must be height and width, or one")
        self.size = (int(size[0]), int(size[1]))
        self.p = p
        self.fill = [255.0 * mean for mean in inputs.mean]
        self.interpolation = inputs.interpolation

    def __call__(self, image: Tensor, mask: Tensor | None = None) -> Any:
        """Return image, and mask if there is one, of the crop's size."""
        scale = self.scales[_draw(len(self.scales))]
        height, width = (max(1, round(scale * side)) for side in image.shape[-2:])
        top = _draw(max(height - self.size[0], 0) + 1)
        left = _draw(max(width - self.size[1], 0) + 1)
        mirrored = bool(torch.rand((), device="cpu") < self.p)
        move = (height, width, top, left, mirrored)
        moved = _like(self._move(_plain(image), move, self.interpolation, self.fill), image)
        if mask is None:
            return moved
        labels = self._move(_plain(mask)[None], move, "nearest-exact", [float(IGNORED)])[0]
        return moved, _like(labels, mask)

    def _move(
        self,
        pixels: Tensor,
        move: tuple[int, int, int, int, bool],
        interpolation: str,
        fill: list[float],
    ) -> Tensor:
        """Return `[C, H, W]` scaled, cut, padded and mirrored."""
        with needed_by("an augmentation of images"):
            from torchvision.transforms.v2 import InterpolationMode, functional
        height, width, top, left, mirrored = move
        if (height, width) != tuple(pixels.shape[-2:]):
            mode = InterpolationMode(interpolation)
            pixels = functional.resize(pixels, [height, width], mode, antialias=True)
        pixels = pixels[:, top : top + self.size[0], left : left + self.size[1]]
        below, right = self.size[0] - pixels.shape[-2], self.size[1] - pixels.shape[-1]
        if below or right:
            pixels = functional.pad(pixels, [0, 0, right, below], fill=fill)
        return pixels.flip(-1) if mirrored else pixels


def _draw(choices: int) -> int:
    """Return one of the numbers below, each as likely."""
    return int(torch.randint(choices, (), device="cpu"))


def _plain(pixels: Tensor) -> Tensor:
    return pixels.as_subclass(Tensor)


def _like(pixels: Tensor, other: Tensor) -> Tensor:
    """Return pixels as the kind of torchvision tensor that the other is: cutting lost it."""
    with needed_by("an augmentation of images"):
        from torchvision import tv_tensors
    kept: Tensor = pixels
    if isinstance(other, tv_tensors.TVTensor):
        kept = tv_tensors.wrap(pixels, like=other)
    return kept
