"""The contract of kinds of data: labelled images of two sides, a real one and a cheap one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

ROLES = ("source", "proxy", "proxy_test", "validation", "test")
"""What images are for: the source's, the pretraining's, and those that are scored on."""

SIDES = ("source", "target")


class DataKind(ABC):
    """Classes that can be drawn in two ways; images of the target's stand for real ones.

    A *look* is all that images of a side have in common: fonts, colours, a photograph. One look
    holds for a task's source, another for the target that its network was pretrained towards.
    Whatever a kind has of real images it cuts up by role, so that those of `validation` and `test`
    are neither pretrained on nor part of the source.

    Args:
        split: "train" or "heldout": which half of the real images, photographs or fonts is used.

    Attributes:
        name: in `KINDS`.
        num_classes: classes there are; a task has some of them.
    """

    name: ClassVar[str]
    num_classes: ClassVar[int]

    def __init__(self, split: str) -> None:
        self.split = split

    @abstractmethod
    def draw_look(self, side: str, generator: np.random.Generator) -> Any:
        """Draw how the images of a side look."""

    @abstractmethod
    def draw(
        self, classes: np.ndarray, look: Any, role: str, generator: np.random.Generator
    ) -> Tensor:
        """Draw an image of each class `[N]`, float32 `[N, 3, 16, 16]` in [0, 1].

        Args:
            classes: in `range(num_classes)`.
            look: of the side that the role is on.
            role: of `ROLES`; "source" is the source's side, all others are the target's.
            generator: draws what differs from image to image.
        """
