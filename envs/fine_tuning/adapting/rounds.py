"""One round of self-training: what was selected of the target's images, and how sure it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from l2o.adaptation import IGNORED, PseudoLabels, SelfTraining, Side

UNLABELLED = 255
"""What masks have where no class was chosen, as the masks of data sets have it."""
HELD = 256 << 20
"""Bytes of confidences that are held from the first pass to the second; of more, the network
predicts again."""


@dataclass(frozen=True)
class Round:
    """Pseudo-labels of all unlabelled images.

    Attributes:
        number: from 0.
        labels: int64 `[N]`, `IGNORED` where none was chosen; of pixels uint8 `[h, w]` each,
            `UNLABELLED` where none was.
        confidence: of each label, or the mean over an image's labelled pixels, `[N]`.
        counts: labels of each class in each image, int64 `[N, K]`.
        predictions: predictions of each class in all images, int64 `[K]`.
        soft: soft labels `[N, K]` or `[N, K, h, w]`, where the method has some.
    """

    number: int
    labels: Tensor | list[Tensor]
    confidence: Tensor
    counts: Tensor
    predictions: Tensor
    soft: Tensor | None = None

    @property
    def kept(self) -> Tensor:
        """Which images have a label, bool `[N]`."""
        return self.counts.sum(dim=1) > 0

    @property
    def empty(self) -> bool:
        """Whether nothing was selected."""
        return not bool(self.kept.any())

    def facts(self) -> dict[str, Any]:
        """Return what a report says of it, as plain data."""
        of_class = self.counts.sum(dim=0)
        return {
            "round": self.number + 1,
            "images": len(self.counts),
            "labelled_images": int(self.kept.sum()),
            "labels_by_class": of_class.tolist(),
            "predictions_by_class": self.predictions.tolist(),
            "confidence": round(float(self.confidence.mean()), 4),
        }

    def state_dict(self) -> dict[str, Any]:
        """Return it as plain data and tensors."""
        return dict(vars(self))

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Round:
        """Return what `state_dict` gave."""
        return cls(**state)


@torch.no_grad()
def select(
    method: SelfTraining, number: int, predict: Callable[[], Iterable[Side]], classes: int
) -> Round:
    """Predict all unlabelled images and select pseudo-labels of them.

    Args:
        method: says what it looks at, and by which rule.
        number: of the round, from 0.
        predict: yields the network's predictions, batch by batch; called once, or twice where
            they are too large to be held.
        classes: K.
    """
    rule = method.selection(number)
    held: list[Tensor] | None = []
    size, seen = 0, torch.zeros(classes, dtype=torch.int64)
    for side in predict():
        confidences = method.confidences(side).cpu()
        rule.observe(confidences)
        answers = confidences.argmax(dim=1).flatten()
        seen += torch.bincount(answers[answers < classes], minlength=classes)
        size += confidences.numel() * confidences.element_size()
        if held is not None and size <= HELD:
            held.append(confidences)
        else:
            held = None
    again = held if held is not None else (method.confidences(side).cpu() for side in predict())
    return _joined(number, [_of_batch(rule.choose(each), classes) for each in again], seen)


def _of_batch(found: PseudoLabels, classes: int) -> dict[str, Any]:
    kept = found.kept.flatten(1) if found.labels.dim() > 1 else found.kept[:, None]
    labels = found.labels.flatten(1) if found.labels.dim() > 1 else found.labels[:, None]
    surety = found.confidence.flatten(1) if found.labels.dim() > 1 else found.confidence[:, None]
    counts = torch.zeros(len(labels), classes, dtype=torch.int64)
    counts.scatter_add_(1, torch.where(kept, labels, 0), kept.long())
    # Where nothing is labelled it is the mean of all predictions: how sure they were.
    weights = torch.where(kept.any(dim=1, keepdim=True), kept, torch.ones_like(kept)).float()
    mean = (surety.float() * weights).sum(dim=1) / weights.sum(dim=1)
    masks: Tensor | None = None
    if found.labels.dim() > 1:
        masks = torch.where(found.kept, found.labels, UNLABELLED).to(torch.uint8)
    return {
        "labels": found.labels if masks is None else masks,
        "confidence": mean,
        "counts": counts,
        "soft": found.soft,
    }


def _joined(number: int, parts: list[dict[str, Any]], seen: Tensor) -> Round:
    dense = parts[0]["labels"].dim() > 1
    soft = [part["soft"] for part in parts]
    masks = [mask for part in parts for mask in part["labels"]] if dense else None
    return Round(
        number=number,
        labels=torch.cat([part["labels"] for part in parts]) if masks is None else masks,
        confidence=torch.cat([part["confidence"] for part in parts]),
        counts=torch.cat([part["counts"] for part in parts]),
        predictions=seen,
        soft=None if soft[0] is None else torch.cat(soft),
    )


def as_ignored(labels: Tensor, ignore: int | None) -> Tensor:
    """Return labels that have `IGNORED` where they have a task's own label of what counts not."""
    return labels if ignore is None else torch.where(labels == ignore, IGNORED, labels)
