"""What a task asks for beside its looks: numbers of images, of each class, of wrong labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from l2o.envs.tasks.base import Examples


@dataclass(frozen=True)
class Setting:
    """One task's setting.

    Attributes:
        source_images: number of training images.
        label_noise: share of them whose label is another class's.
        imbalance: how many times as frequent the commonest class is as the rarest.
        steps: length of the fine-tune.
        batch_size: images per optimizer step.
    """

    source_images: int
    label_noise: float
    imbalance: float
    steps: int
    batch_size: int


def draw_labels(
    count: int, classes: int, imbalance: float, generator: np.random.Generator
) -> np.ndarray:
    """Draw labels whose frequencies fall geometrically, in an order of classes drawn anew.

    Every class has at least one, if there are enough labels.
    """
    shares = imbalance ** -np.linspace(0.0, 1.0, classes)
    order = generator.permutation(classes)
    cuts = np.round(np.cumsum(shares) / shares.sum() * count).astype(int)
    labels = order[np.searchsorted(cuts, np.arange(count), side="right").clip(max=classes - 1)]
    labels[:classes] = np.arange(classes)[:count]
    return generator.permutation(labels)


def mislabel(
    examples: Examples, classes: int, share: float, generator: np.random.Generator
) -> Examples:
    """Return the examples with a share of the labels replaced by another class, drawn uniformly."""
    wrong = generator.random(len(examples)) < share
    shift = generator.integers(1, classes, size=len(examples)) * wrong
    return Examples(examples.images, (examples.labels + torch.from_numpy(shift)) % classes)
