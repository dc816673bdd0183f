"""RandAugment on batches of small images, as tensor operations."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from l2o.checks import check_number
from l2o.guidance.pixel_range import Bound, PixelRange

GEOMETRIC = ("rotate", "shear_x", "shear_y", "translate_x", "translate_y")
PHOTOMETRIC = ("brightness", "contrast", "saturation", "solarize", "posterize", "autocontrast")
OPERATIONS = ("identity", *GEOMETRIC, *PHOTOMETRIC)

LARGEST_ROTATION = math.radians(30.0)
LARGEST_SHEAR = 0.3
LARGEST_SHIFT = 0.33
LARGEST_CHANGE = 0.9
LARGEST_POSTERIZE = 4
"""Of strength 1: radians, shear, shift (of the image), change of brightness, contrast and
saturation, bits that are dropped of eight."""


class RandAugment:
    """To each image apply `operations` random operations, of one magnitude, with random sign.

    Source: Cubuk et al., RandAugment: Practical Automated Data Augmentation with a Reduced Search
    Space, 2020. All images of a batch go through the same few tensor operations, whatever was
    drawn for them. Randomness is torch's global one.

    Args:
        operations: how many, one after another, each drawn from `OPERATIONS`.
        magnitude: in [0, 10]; 10 is the strongest.
        low: the value of black; of normalised images one for each channel, (0 - mean) / std.
        high: the value of white; likewise, (1 - mean) / std.

    Raises:
        ValueError: an argument out of range.

    Example:
        >>> RandAugment(operations=2)(torch.rand(4, 3, 16, 16)).shape
        torch.Size([4, 3, 16, 16])
    """

    def __init__(
        self, operations: int = 1, magnitude: float = 6.0, low: Bound = 0.0, high: Bound = 1.0
    ) -> None:
        if isinstance(operations, bool) or not isinstance(operations, int) or operations < 0:
            raise ValueError(f"operations must be a whole number of at least 0, got {operations!r}")
        check_number("magnitude", magnitude, 0.0, 10.0)
        self.operations = operations
        self.magnitude = magnitude
        self.range = PixelRange(low, high)

    def __call__(self, images: Tensor) -> Tensor:
        """Return a view of each image.

        Args:
            images: `[N, C, H, W]`, values from `low` to `high`.

        Raises:
            ValueError: another shape, or values outside that range.
        """
        self.range.check(images, "RandAugment")
        images = self.range.to_unit(images)
        for _ in range(self.operations):
            choice = torch.randint(len(OPERATIONS), (len(images),)).to(images.device)
            sign = (torch.randint(2, (len(images),)) * 2 - 1).to(images)
            images = apply_operations(images, choice, sign * self.magnitude / 10.0)
        return self.range.from_unit(images)


def apply_operations(images: Tensor, choice: Tensor, strength: Tensor) -> Tensor:
    """Apply to each image one operation.

    Args:
        images: `[N, C, H, W]` in [0, 1].
        choice: `[N]`, indices into `OPERATIONS`.
        strength: `[N]`, in [-1, 1].
    """
    moved = functional.grid_sample(
        images,
        functional.affine_grid(_affine(choice, strength), list(images.shape), align_corners=False),
        padding_mode="border",
        align_corners=False,
    )
    first = 1 + len(GEOMETRIC)
    changed = torch.where(_rows((choice > 0) & (choice < first)), moved, images)
    made = (_brightness, _contrast, _saturation, _solarize, _posterize, _autocontrast)
    for index, make in enumerate(made, start=first):
        changed = torch.where(_rows(choice == index), make(images, strength), changed)
    return changed


def _affine(choice: Tensor, strength: Tensor) -> Tensor:
    """Return where each pixel comes from, `[N, 2, 3]`, in coordinates from -1 to 1."""
    chosen = [
        torch.where(choice == OPERATIONS.index(name), strength, torch.zeros_like(strength))
        for name in GEOMETRIC
    ]
    angle = chosen[0] * LARGEST_ROTATION
    shear_x, shear_y = chosen[1] * LARGEST_SHEAR, chosen[2] * LARGEST_SHEAR
    shift_x, shift_y = chosen[3] * 2 * LARGEST_SHIFT, chosen[4] * 2 * LARGEST_SHIFT
    x = torch.stack([angle.cos(), shear_x - angle.sin(), shift_x], dim=1)
    y = torch.stack([shear_y + angle.sin(), angle.cos(), shift_y], dim=1)
    return torch.stack([x, y], dim=1)


def _rows(values: Tensor) -> Tensor:
    return values[:, None, None, None]


def _scale_around(images: Tensor, centre: Tensor | float, strength: Tensor) -> Tensor:
    factor = _rows(1 + LARGEST_CHANGE * strength)
    return ((images - centre) * factor + centre).clamp(0.0, 1.0)


def _brightness(images: Tensor, strength: Tensor) -> Tensor:
    return _scale_around(images, 0.0, strength)


def _contrast(images: Tensor, strength: Tensor) -> Tensor:
    return _scale_around(images, images.mean(dim=(1, 2, 3), keepdim=True), strength)


def _saturation(images: Tensor, strength: Tensor) -> Tensor:
    return _scale_around(images, images.mean(dim=1, keepdim=True), strength)


def _solarize(images: Tensor, strength: Tensor) -> Tensor:
    """Invert what is brighter than 1 − |strength|."""
    return torch.where(images > 1 - _rows(strength.abs()), 1 - images, images)


def _posterize(images: Tensor, strength: Tensor) -> Tensor:
    """Drop up to `LARGEST_POSTERIZE` of eight bits."""
    step = _rows(2 ** (LARGEST_POSTERIZE * strength.abs()).round())
    return ((images * 255 / step).floor() * step / 255).clamp(0.0, 1.0)


def _autocontrast(images: Tensor, strength: Tensor) -> Tensor:
    """Stretch each channel to the whole range; a flat one stays."""
    del strength
    low, high = images.amin(dim=(2, 3), keepdim=True), images.amax(dim=(2, 3), keepdim=True)
    span = high - low
    flat = span < 1e-6
    return torch.where(
        flat, images, (images - low) / torch.where(flat, torch.ones_like(span), span)
    )
