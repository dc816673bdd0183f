"""The range of an image's values: one for all channels, or one each, as of normalised images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Bound = float | Sequence[float]
"""A number, or one for each channel."""


@dataclass(frozen=True)
class PixelRange:
    """What values black and white have.

    Args:
        low: of black.
        high: of white.

    Raises:
        ValueError: black is not below white, or they are of different numbers of channels.

    Example:
        >>> of_imagenet = PixelRange((-2.1179, -2.0357, -1.8044), (2.2489, 2.4286, 2.64))
        >>> of_imagenet.to_unit(torch.zeros(1, 3, 1, 1)).flatten()
        tensor([0.4850, 0.4560, 0.4060])
    """

    low: Bound = 0.0
    high: Bound = 1.0

    def __post_init__(self) -> None:
        low, high = (_listed(bound) for bound in (self.low, self.high))
        fits = len(low) == len(high) or 1 in (len(low), len(high))
        if not low or not high or not fits or not (_row(low) < _row(high)).all():
            raise ValueError(
                f"black must be below white, got low={self.low!r} and high={self.high!r}; give "
                "two numbers, or two for each channel"
            )

    def check(self, images: Tensor, who: str) -> None:
        """Raise ValueError unless images `[N, C, H, W]` have values within."""
        if images.dim() != 4:
            raise ValueError(
                f"{who} takes images [N, C, H, W], got {tuple(images.shape)}; "
                "give an augmentation of your own for other inputs"
            )
        channels = {len(_listed(bound)) for bound in (self.low, self.high)} - {1}
        if channels - {images.shape[1]}:
            raise ValueError(
                f"images have {images.shape[1]} channels, low={self.low!r} and high={self.high!r} "
                f"are for {channels.pop()}"
            )
        low, high = self._bounds(images)
        slack = 1e-3 * (high - low)
        if not ((images >= low - slack) & (images <= high + slack)).all():
            raise ValueError(
                f"images have values from {images.min().item():.4g} to {images.max().item():.4g}, "
                f"{who} takes them from low={_told(self.low)} to high={_told(self.high)}; give it "
                "the range of your images"
            )

    def to_unit(self, images: Tensor) -> Tensor:
        """Return images with black at 0 and white at 1."""
        low, high = self._bounds(images)
        return (images - low) / (high - low)

    def from_unit(self, images: Tensor) -> Tensor:
        """Return the inverse of `to_unit`."""
        low, high = self._bounds(images)
        return images * (high - low) + low

    def _bounds(self, images: Tensor) -> tuple[Tensor, Tensor]:
        low, high = (_row(_listed(bound)).to(images) for bound in (self.low, self.high))
        return low, high


def _row(values: Sequence[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64, device="cpu").view(1, -1, 1, 1)


def _listed(bound: Bound) -> list[float]:
    return [float(value) for value in bound] if isinstance(bound, Sequence) else [float(bound)]


def _told(bound: Bound) -> str:
    return f"{bound:g}" if isinstance(bound, int | float) else repr(list(bound))
