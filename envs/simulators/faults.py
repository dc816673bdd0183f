"""What can go wrong while an image is drawn, and how often it is tried again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np

from l2o.envs.simulators.dimensions import Value

T = TypeVar("T")
ATTEMPTS = 3
"""How often an image is tried until a renderer that dies is an error."""


class RendererDiedError(RuntimeError):
    """What draws is a process of its own, and it died, or did not answer in time."""


class UnseenClassError(ValueError):
    """A class that nothing is drawn of at a point: no label could be learned from it."""


def retried(draw: Callable[[], T], attempts: int = ATTEMPTS) -> T:
    """Return what `draw` returns, tried again where the renderer dies.

    Raises:
        RendererDiedError: it died each time; the message tells how often, and the last reason.

    Example:
        >>> retried(lambda: 3)
        3
    """
    for attempt in range(1, attempts + 1):
        try:
            return draw()
        except RendererDiedError as error:
            if attempt == attempts:
                raise RendererDiedError(f"{error}; tried {attempts} times") from error
    raise ValueError(f"attempts={attempts} must be 1 or more")


def checked(
    drawn: Any, size: int, where: str, point: Mapping[str, Value]
) -> tuple[np.ndarray, np.ndarray]:
    """Return an image and its mask as bytes, once they are known to be what a simulator must give.

    Args:
        drawn: what `Simulator.draw` returned.
        size: height and width.
        where: which image, for errors.
        point: that it was drawn at, for errors.

    Raises:
        ValueError: NaN, numbers that are no bytes, or another shape; the message has the point.
    """
    image, mask = (np.asarray(each) for each in drawn)
    for name, pixels, shape in (("image", image, (size, size, 3)), ("mask", mask, (size, size))):
        if pixels.shape != shape:
            raise ValueError(
                f"the {name} of {where} has shape {pixels.shape} at psi={told(point)}; "
                f"`draw` must give {shape}"
            )
        if pixels.dtype != np.uint8 and not _are_bytes(pixels):
            raise ValueError(
                f"the {name} of {where} holds NaN, or numbers that are not 0 to 255, at "
                f"psi={told(point)}; `draw` must give bytes (uint8)"
            )
    return image.astype(np.uint8, copy=False), mask.astype(np.uint8, copy=False)


def _are_bytes(pixels: np.ndarray) -> bool:
    numeric = np.issubdtype(pixels.dtype, np.number) and np.isfinite(pixels).all()
    return bool(numeric) and bool(((pixels >= 0) & (pixels <= 255)).all())


def told(point: Mapping[str, Value], most: int = 4) -> str:
    """Return a point's first values, for errors."""
    few = [f"{name}: {value}" for name, value in list(point.items())[:most]]
    return "{" + ", ".join(few) + (", ..." if len(point) > most else "") + "}"
