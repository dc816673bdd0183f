"""One side of a task: a kind of data, classes of it, a look, and gaps on top."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from l2o.envs.tasks.base import Examples
from l2o.envs.tasks.composed.gaps import GAPS, Gap
from l2o.envs.tasks.composed.kinds import KINDS, DataKind
from l2o.envs.tasks.proxy.images import centre

Gaps = tuple[tuple[str, float], ...]
"""Names of gaps and how strong each is, in the order in which they are applied."""

_CHUNK = 1024
"""Images drawn at once, which bounds the memory that drawing takes."""


@dataclass(frozen=True)
class World:
    """Where images come from: a pure function of these fields.

    Attributes:
        kind: of `KINDS`.
        data: "train" or "heldout": which half of the kind's real images and fonts.
        side: "source" or "target".
        classes: those of the kind that labels count.
        seed: draws the look, and what the gaps have in common.
        gaps: on top of what the kind's sides differ by.

    Example:
        >>> world = World("patterns", "train", "target", (0, 1, 5), seed=3)
        >>> world.draw(np.array([0, 2]), "test", np.random.default_rng(0)).images.shape
        torch.Size([2, 3, 16, 16])
    """

    kind: str
    data: str
    side: str
    classes: tuple[int, ...]
    seed: int
    gaps: Gaps = ()

    def draw(self, labels: np.ndarray, role: str, generator: np.random.Generator) -> Examples:
        """Draw an image of each label, `[N, 3, 16, 16]` in [-1, 1].

        Args:
            labels: places in `classes`.
            role: what the images are for, one of `ROLES`.
            generator: draws what differs from image to image.
        """
        look = _look_of(self)
        parts = []
        for first in range(0, len(labels), _CHUNK):
            wanted = np.asarray(self.classes)[labels[first : first + _CHUNK]]
            parts.append(self._draw(wanted, look, role, generator))
        return Examples(centre(torch.cat(parts)), torch.from_numpy(labels.astype(np.int64)))

    def draw_balanced(self, count: int, role: str, generator: np.random.Generator) -> Examples:
        """Draw images of all classes, as many of each, in random order."""
        return self.draw(balanced(count, len(self.classes), generator), role, generator)

    def _draw(
        self, classes: np.ndarray, look: Any, role: str, generator: np.random.Generator
    ) -> Tensor:
        images = make_kind(self.kind, self.data).draw(classes, look, role, generator)
        for gap in _gaps_of(self):
            images = gap.apply(images, generator)
        return images.clamp(0.0, 1.0)


def balanced(count: int, classes: int, generator: np.random.Generator) -> np.ndarray:
    """Draw labels, as many of each class, in random order."""
    return generator.permutation(np.arange(count) % classes)


@cache
def make_kind(kind: str, data: str) -> DataKind:
    """Return a kind of data on a half of its real images."""
    return KINDS[kind](data)


@lru_cache(256)
def _look_of(world: World) -> Any:
    generator = np.random.default_rng([13, world.seed])
    return make_kind(world.kind, world.data).draw_look(world.side, generator)


@lru_cache(256)
def _gaps_of(world: World) -> tuple[Gap, ...]:
    return tuple(GAPS[name](strength, world.seed) for name, strength in world.gaps)


def draw_gaps(counts: Sequence[float], generator: np.random.Generator) -> Gaps:
    """Draw gaps and their strengths.

    Args:
        counts: probability of none, one, two, ... of them.
        generator: draws them.
    """
    count = int(generator.choice(len(counts), p=np.asarray(counts) / np.sum(counts)))
    names = generator.choice(list(GAPS), count, replace=False)
    strengths = generator.uniform(0.1, 0.7, count)
    return tuple((str(name), round(float(s), 3)) for name, s in zip(names, strengths, strict=True))
