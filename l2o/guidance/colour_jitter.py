"""Colour jitter on batches of images, as tensor operations."""

from __future__ import annotations

import torch
from torch import Tensor

from l2o.checks import check_number
from l2o.guidance.pixel_range import Bound, PixelRange

_GREY = (0.299, 0.587, 0.114)
"""How bright red, green and blue look (ITU-R BT.601)."""


class ColourJitter:
    """Changes brightness, contrast, saturation and hue of each image at random, in that order.

    The factors are drawn uniformly from 1 − s to 1 + s, the turn of the hue from −hue to hue, in
    whole turns of the colour circle. Pixels stay where they are, so labels of pixels stay true.
    Randomness is torch's global one.

    Args:
        brightness: s of the factor on values, in [0, 1].
        contrast: s of the factor on the distance to the image's mean brightness, in [0, 1].
        saturation: s of the factor on the distance to the pixel's own brightness, in [0, 1].
        hue: in [0, 0.5].
        low: the value of black; of normalised images one for each channel, (0 - mean) / std.
        high: the value of white; likewise, (1 - mean) / std.

    Raises:
        ValueError: an argument out of range.

    Example:
        >>> ColourJitter()(torch.rand(4, 3, 16, 16)).shape
        torch.Size([4, 3, 16, 16])
    """

    def __init__(
        self,
        brightness: float = 0.4,
        contrast: float = 0.4,
        saturation: float = 0.4,
        hue: float = 0.4,
        low: Bound = 0.0,
        high: Bound = 1.0,
    ) -> None:
        factors = {"brightness": brightness, "contrast": contrast, "saturation": saturation}
        for name, value in factors.items():
            check_number(name, value, 0.0, 1.0)
        check_number("hue", hue, 0.0, 0.5)
        self.brightness, self.contrast, self.saturation = brightness, contrast, saturation
        self.hue = hue
        self.range = PixelRange(low, high)

    def __call__(self, images: Tensor) -> Tensor:
        """Return a view of each image.

        Args:
            images: `[N, 3, H, W]`, values from `low` to `high`.

        Raises:
            ValueError: another shape, or values outside that range.
        """
        self.range.check(images, "ColourJitter")
        if images.shape[1] != 3:
            raise ValueError(f"ColourJitter takes images in colour, got {images.shape[1]} channels")
        images = self.range.to_unit(images).clamp(0.0, 1.0)
        images = blend(images, torch.zeros_like(images[:, :1]), _drawn(self.brightness, images))
        mean = grey(images).mean(dim=(2, 3), keepdim=True)
        images = blend(images, mean, _drawn(self.contrast, images))
        images = blend(images, grey(images), _drawn(self.saturation, images))
        images = turn_hue(images, _drawn(self.hue, images) - 1.0)
        return self.range.from_unit(images)


def grey(images: Tensor) -> Tensor:
    """Return the brightness of pixels `[N, 1, H, W]`."""
    weights = torch.tensor(_GREY, dtype=images.dtype, device=images.device).view(1, 3, 1, 1)
    return (images * weights).sum(dim=1, keepdim=True)


def blend(images: Tensor, other: Tensor, factor: Tensor) -> Tensor:
    """Return other + factor · (images − other), within [0, 1]."""
    return (other + factor * (images - other)).clamp(0.0, 1.0)


def turn_hue(images: Tensor, turns: Tensor) -> Tensor:
    """Turn the hue of images in [0, 1]; value and saturation stay.

    Args:
        images: `[N, 3, H, W]`.
        turns: of the colour circle, `[N, 1, 1, 1]`.

    Example:
        >>> red = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1)
        >>> turn_hue(red, torch.full((1, 1, 1, 1), 1 / 3)).flatten().round(decimals=3)
        tensor([0., 1., 0.])
    """
    value, low = images.amax(dim=1, keepdim=True), images.amin(dim=1, keepdim=True)
    chroma = value - low
    safe = torch.where(chroma > 0, chroma, torch.ones_like(chroma))
    red, green, blue = images.split(1, dim=1)
    hue = torch.where(
        value == red,
        (green - blue) / safe,
        torch.where(value == green, 2.0 + (blue - red) / safe, 4.0 + (red - green) / safe),
    )
    hue = hue + 6.0 * turns
    # Of each channel: how far the hue is from where the channel is darkest.
    places = torch.tensor([5.0, 3.0, 1.0], dtype=images.dtype, device=images.device)
    away = (hue + places.view(1, 3, 1, 1)) % 6.0
    return value - chroma * torch.minimum(away, 4.0 - away).clamp(0.0, 1.0)


def _drawn(spread: float, images: Tensor) -> Tensor:
    """Return a factor for each image, from 1 - spread to 1 + spread `[N, 1, 1, 1]`."""
    drawn = torch.rand(len(images), 1, 1, 1, device="cpu", dtype=torch.float32)
    return (1.0 + spread * (2.0 * drawn - 1.0)).to(images)
