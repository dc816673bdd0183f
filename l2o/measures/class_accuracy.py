"""Accuracy of each class, and its mean over classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from l2o.measures.base import Measure, Outputs


@dataclass(frozen=True)
class ClassAccuracy(Measure):
    """`class_accuracy_k` for each class k, and `mean_class_accuracy` over classes that occur.

    Example:
        >>> outputs = Outputs(logits=torch.eye(2), labels=torch.tensor([0, 0]))
        >>> ClassAccuracy()(outputs)
        {'class_accuracy_0': 0.5, 'class_accuracy_1': nan, 'mean_class_accuracy': 0.5}
    """

    needs: ClassVar[tuple[str, ...]] = ("logits", "labels")

    def compute(self, outputs: Outputs) -> dict[str, float]:
        """Return the accuracies."""
        assert outputs.logits is not None
        assert outputs.labels is not None
        each = class_accuracy(outputs.logits, outputs.labels)
        values = {f"class_accuracy_{k}": float(v) for k, v in enumerate(each)}
        return values | {"mean_class_accuracy": float(each.nanmean())}


def class_accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the share of right answers among each class's examples `[K]`; NaN without examples.

    Answers of a network that gives NaN or infinity are wrong.

    Args:
        logits: `[N, K]`.
        labels: `[N]`, in `range(K)`.

    Raises:
        ValueError: shapes do not fit, or a label is out of range.

    Example:
        >>> class_accuracy(torch.eye(3), torch.tensor([0, 1, 1]))
        tensor([1.0000, 0.5000,    nan], dtype=torch.float64)
    """
    if logits.dim() != 2 or labels.shape != logits.shape[:1]:
        raise ValueError(
            f"logits must be [N, K] and labels [N], got {tuple(logits.shape)} and "
            f"{tuple(labels.shape)}"
        )
    classes = logits.shape[1]
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise ValueError(f"labels must be in 0 ... {classes - 1}, as logits have {classes} classes")
    right = (logits.argmax(dim=1) == labels) & torch.isfinite(logits).all(dim=1)
    hits = torch.bincount(labels[right], minlength=classes).double()
    return hits / torch.bincount(labels, minlength=classes)
