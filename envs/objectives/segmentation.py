"""Segmentation: one class for each pixel."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from l2o.envs.objectives.base import LOSS, Metric, Objective, ratio


@dataclass(frozen=True)
class Segmentation(Objective):
    """Cross-entropy of pixels; the mean intersection over union, and pixel accuracy.

        IoU_k = n_kk / (sum_j n_kj + sum_j n_jk - n_kk),   mIoU = mean_k IoU_k

    n_kj is the number of pixels of class k that are taken for class j, over the *whole* split, as
    Cityscapes is scored; the mean is over the classes that occur in labels or predictions. Outputs
    are logits `[B, K, h, w]`, labels `[B, H, W]` in `range(K)` or `ignore_index`, which counts
    nowhere. Where outputs are of another size than labels they are scaled to it, bilinearly.
    Pixels of NaN or infinity are wrong and are of no class.

    Guessing evenly gives a pixel accuracy of 1 / K and, where all classes are equally frequent, an
    mIoU of 1 / (2 K - 1); where they are not, it is less.

    Args:
        outputs: K, where it is known.
        ignore_index: label of pixels that do not count.

    Raises:
        ValueError: an `ignore_index` that is no whole number.
    """

    name: ClassVar[str] = "segmentation"
    main: ClassVar[str] = "miou"

    outputs: int | None = None
    ignore_index: int = 255

    def __post_init__(self) -> None:
        if isinstance(self.ignore_index, bool) or not isinstance(self.ignore_index, int):
            raise ValueError(
                f"ignore_index={self.ignore_index!r} is no whole number; give the label of "
                "pixels that do not count, 255 in Cityscapes"
            )

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """Loss, mIoU, pixel accuracy."""
        guessed: float | None = None
        even: float | None = None
        overlap: float | None = None
        if self.outputs is not None:
            guessed, even = math.log(self.outputs), 1 / self.outputs
            overlap = 1 / (2 * self.outputs - 1)
        return {
            LOSS: Metric(LOSS, "min", "nats", guessed),
            "miou": Metric("miou", "max", "%", overlap),
            "pixel_accuracy": Metric("pixel_accuracy", "max", "%", even),
        }

    def losses(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return the cross-entropy of each image `[B]`, summed over its pixels."""
        each = functional.cross_entropy(
            _at_size_of(outputs, labels), labels, ignore_index=self.ignore_index, reduction="none"
        )
        return each.flatten(1).sum(dim=1)

    def predictions(self, labels: Tensor) -> Tensor:
        """Return the number of pixels that count `[B]`."""
        return (labels != self.ignore_index).flatten(1).sum(dim=1)

    def tally(self, outputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Return, for each class, how many pixels are it, are taken for it, and both `[B, K]`."""
        outputs = _at_size_of(outputs, labels)
        classes = outputs.shape[1]
        counts = labels != self.ignore_index
        answers = counts & torch.isfinite(outputs).all(dim=1)
        predicted = outputs.argmax(dim=1)
        return {
            "of_class": _count(labels, counts, classes),
            "taken_for": _count(predicted, answers, classes),
            "hits": _count(predicted, answers & (predicted == labels), classes),
        }

    def read(self, sums: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return mIoU and pixel accuracy."""
        hits = sums["hits"]
        union = sums["of_class"] + sums["taken_for"] - hits
        return {
            "miou": ratio(hits, union).nanmean(dim=-1),
            "pixel_accuracy": ratio(hits.sum(dim=-1), sums["count"]),
        }


def _at_size_of(outputs: Tensor, labels: Tensor) -> Tensor:
    """Return outputs `[B, K, H, W]` at the size of labels `[B, H, W]`."""
    size = labels.shape[-2:]
    if outputs.shape[-2:] == size:
        return outputs
    return functional.interpolate(outputs, size=size, mode="bilinear", align_corners=False)


def _count(classes: Tensor, where: Tensor, number: int) -> Tensor:
    """Return how many pixels of each image are of each class `[B, K]`, of those that count."""
    classes, where = classes.flatten(1), where.flatten(1)
    counts = torch.zeros(len(classes), number, dtype=torch.int64, device=classes.device)
    return counts.scatter_add_(1, torch.where(where, classes, 0), where.long())
