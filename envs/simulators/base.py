"""The contract of simulators: labelled synthetic images from named parameters."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from l2o.envs.simulators.dimensions import Value
from l2o.envs.simulators.faults import UnseenClassError, checked, retried, told
from l2o.envs.simulators.space import Distribution, Point, Space

Pixels = NDArray[np.uint8]
REDRAWS = 20
"""How often an image is drawn anew until one that shows nothing is an error."""


class Rendered(NamedTuple):
    """Labelled images.

    Attributes:
        images: uint8 `[n, H, W, 3]`.
        labels: int64 `[n]`, places in the simulator's `classes`.
        masks: uint8 `[n, H, W]`: places in its `mask_classes`, exact for each pixel.
    """

    images: Pixels
    labels: NDArray[np.int64]
    masks: Pixels


class Simulator(ABC):
    """Makes labelled synthetic images from parameters psi.

    A point psi says how a *set* of images varies (the largest rotation, the share of stripes): each
    image draws its own details within what psi allows, so every point makes a data set to train on.
    Where psi is a distribution over points, each image draws a point of its own from it, too:

        render({"tilt": 10.0}, 1000, seed=0)                    one psi, to learn to simulate
        render(simulator.parameters, 1000, seed=0)              domain randomization
        render(simulator.parameters.narrow(tilt=(0, 10)), ...)  within ranges

    Image i depends on psi, the seed and i alone: the first images of a large set are those of a
    small one. Classes take turns in random order, so any set is balanced as far as it can be.

    Args:
        size: height and width of images, in pixels.

    Attributes:
        name: the family's name for it.
        version: raised by any change of what is drawn, so that caches are made anew.
        parameters: the space of psi; its defaults are the simulator as it is meant.
        classes: names of the labels.
        mask_classes: names of what a pixel may be; the first is the ground.

    Raises:
        ValueError: a size that is no whole number from 8 to 1024.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    parameters: Space
    classes: tuple[str, ...]
    mask_classes: tuple[str, ...]

    def __init__(self, size: int = 64) -> None:
        if isinstance(size, bool) or not isinstance(size, int) or not 8 <= size <= 1024:
            raise ValueError(f"size={size!r} is no whole number of 8 to 1024; give one that is")
        self.size = size

    @abstractmethod
    def draw(
        self, point: Mapping[str, Value], label: int, generator: np.random.Generator
    ) -> tuple[Pixels, Pixels]:
        """Draw one image `[H, W, 3]` of a class, and its mask `[H, W]`.

        Args:
            point: a value for every parameter.
            label: the class.
            generator: all that is random is drawn from it.
        """

    def render(self, psi: Point | Distribution, n: int, seed: int) -> Rendered:
        """Return n labelled images: a pure function of the arguments.

        Args:
            psi: one point (what it leaves out is at its default), or a distribution over points.
            n: number of images.
            seed: 0 or more.

        Raises:
            ValueError: a point that is not in the space, a negative n or seed, nothing of a class
                (`UnseenClassError`), or pixels that are no bytes, such as NaN.
            RendererDiedError: what draws died, each time that it was tried.
        """
        if n < 0 or seed < 0:
            raise ValueError(f"n={n} and seed={seed} must not be negative; give 0 or more")
        images = np.zeros((n, self.size, self.size, 3), dtype=np.uint8)
        masks = np.zeros((n, self.size, self.size), dtype=np.uint8)
        labels = self.labels(n, seed)
        if not hasattr(psi, "draw"):
            psi = self.parameters.complete(psi)
        for i in range(n):
            images[i], masks[i], _ = self.render_one(psi, i, int(labels[i]), seed)
        return Rendered(images, labels, masks)

    def render_one(
        self, psi: Point | Distribution, i: int, label: int, seed: int
    ) -> tuple[Pixels, Pixels, dict[str, Value]]:
        """Return image i of a set, its mask, and the point that it was drawn at.

        Args:
            psi: as `render` takes it.
            i: number of the image.
            label: its class, as `labels` has it.
            seed: of the set.

        Raises:
            ValueError: as `render`.
            RendererDiedError: likewise.
        """
        return retried(lambda: self._render_once(psi, i, label, seed))

    def _render_once(
        self, psi: Point | Distribution, i: int, label: int, seed: int
    ) -> tuple[Pixels, Pixels, dict[str, Value]]:
        """Draw an image, anew from the numbers that follow where it shows nothing."""
        generator = np.random.default_rng([seed, 1, i])
        where = f"image {i} of class {self.classes[label]!r}"
        for _ in range(REDRAWS):
            point = self.parameters.complete(psi.draw(generator) if hasattr(psi, "draw") else psi)
            drawn = self.draw(point, label, generator)
            image, mask = checked(drawn, self.size, where, point)
            if mask.any():
                return image, mask, point
        raise UnseenClassError(
            f"{where} shows nothing at psi={told(point)}, drawn {REDRAWS} times; narrow the "
            "ranges, or change the point, so that every class can be seen"
        )

    def labels(self, n: int, seed: int) -> NDArray[np.int64]:
        """Return the labels of the n images of a seed: every class once in each turn."""
        kinds = len(self.classes)
        turns = -(-n // kinds)
        generator = np.random.default_rng([seed, 0])
        drawn = [generator.permutation(kinds) for _ in range(turns)]
        return np.concatenate([np.zeros(0, np.int64), *drawn]).astype(np.int64)[:n]
