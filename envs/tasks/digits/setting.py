"""What a task asks for beside its images: classes, wrong labels, length and batch size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from l2o.envs.tasks.base import Examples
from l2o.envs.tasks.digits.writers import load_digits


@dataclass(frozen=True)
class Setting:
    """One task's setting.

    Attributes:
        digits: those to tell apart, ascending; a label is a place among them.
        label_noise: share of the training labels that are wrong.
        steps: length of the fine-tune.
        batch_size: images per optimizer step.
    """

    digits: tuple[int, ...]
    label_noise: float
    steps: int
    batch_size: int


def mislabel(examples: Examples, setting: Setting, generator: np.random.Generator) -> Examples:
    """Return the examples with a share of the labels replaced by another class, drawn uniformly."""
    wrong = generator.random(len(examples)) < setting.label_noise
    shift = generator.integers(1, len(setting.digits), size=len(examples)) * wrong
    labels = (examples.labels + torch.from_numpy(shift)) % len(setting.digits)
    return Examples(examples.images, labels)


def only(indices: np.ndarray, digits: Sequence[int]) -> np.ndarray:
    """Return those real images that show one of these digits, in the same order."""
    return indices[np.isin(load_digits()[1].numpy()[indices], digits)]


def relabel(examples: Examples, digits: Sequence[int]) -> Examples:
    """Return real examples labelled by the place of their digit among `digits`."""
    return Examples(examples.images, torch.searchsorted(torch.tensor(digits), examples.labels))
