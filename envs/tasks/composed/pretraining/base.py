"""The contract of pretrainings: what a network has seen before a task fine-tunes it."""

from __future__ import annotations

from abc import ABC
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np

from l2o.envs.tasks.base import Examples
from l2o.envs.tasks.composed.kinds import KINDS
from l2o.envs.tasks.composed.world import World, make_kind


class Pretraining(ABC):
    """Says where images are from, how they are labelled, and for how long they are trained on.

    Attributes:
        name: in `PRETRAINING`.
        length: steps, as a multiple of the family's `pretrain_steps`.
        images: how many different images are trained on; None: every batch has new ones.
        rate: factor on the peak of the learning rate that the architecture is trained at.
        other_classes: whether the task's kind must have twice as many classes as the task.
    """

    name: ClassVar[str]
    length: ClassVar[float] = 1.0
    images: ClassVar[int | None] = None
    rate: ClassVar[float] = 1.0
    other_classes: ClassVar[bool] = False

    def origin(self, target: World, kinds: Sequence[str], generator: np.random.Generator) -> World:
        """Return where the images are from; unless it says otherwise, where the target's are from.

        Args:
            target: of the tasks that fine-tune the network.
            kinds: kinds of data that the split has.
            generator: draws it.
        """
        return target

    def num_classes(self, origin: World) -> int:
        """Return the size of the network's own head."""
        return len(origin.classes)

    def label(self, examples: Examples, generator: np.random.Generator) -> Examples:
        """Return the images as they are learned from: unless it says otherwise, as they are."""
        return examples


def other_classes(target: World, generator: np.random.Generator) -> World:
    """Return the target's world with as many other classes of its kind."""
    every = make_kind(target.kind, target.data).num_classes
    rest = np.setdiff1d(np.arange(every), target.classes)
    chosen = generator.choice(rest, min(len(target.classes), len(rest)), replace=False)
    return replace(target, classes=tuple(int(each) for each in np.sort(chosen)))


def other_kind(target: World, kinds: Sequence[str], generator: np.random.Generator) -> World:
    """Return a world of another kind of data, with a look of its own, as many classes, no gaps."""
    others = [kind for kind in kinds if kind != target.kind] or [
        kind for kind in KINDS if kind != target.kind
    ]
    kind = others[int(generator.integers(len(others)))]
    every = make_kind(kind, target.data).num_classes
    chosen = generator.choice(every, min(len(target.classes), every), replace=False)
    classes = tuple(int(each) for each in np.sort(chosen))
    seed = int(generator.integers(2**31))
    return World(kind, target.data, "target", classes, seed)
