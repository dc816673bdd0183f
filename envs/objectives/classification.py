"""Classification: one class for each example."""

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
class Classification(Objective):
    """Cross-entropy; accuracy, and the mean of the accuracies of the classes that occur.

        accuracy = mean_i [argmax f(x_i) = y_i]
        mean_class_accuracy = mean_k mean_{i: y_i = k} [argmax f(x_i) = y_i]

    Outputs are logits `[B, K]`, labels `[B]` in `range(K)`. Answers of a network that gives NaN or
    infinity are wrong: it would otherwise be credited with every example of class 0. Guessing
    evenly gives an accuracy of 1 / K and a loss of log K. VisDA-17 is scored by
    `mean_class_accuracy`.

    Args:
        outputs: K, where it is known.
    """

    name: ClassVar[str] = "classification"
    main: ClassVar[str] = "accuracy"

    outputs: int | None = None

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """Loss, accuracy, mean class accuracy."""
        even = None if self.outputs is None else 1.0 / self.outputs
        guessed = None if self.outputs is None else math.log(self.outputs)
        return {
            LOSS: Metric(LOSS, "min", "nats", guessed),
            "accuracy": Metric("accuracy", "max", "%", even),
            "mean_class_accuracy": Metric("mean_class_accuracy", "max", "%", even),
        }

    def loss(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return the mean cross-entropy."""
        return functional.cross_entropy(outputs, labels)

    def losses(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return the cross-entropies `[B]`."""
        return functional.cross_entropy(outputs, labels, reduction="none")

    def tally(self, outputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Return whether each answer is right, whose class it is, and both."""
        right = (outputs.argmax(dim=1) == labels) & torch.isfinite(outputs).all(dim=1)
        of_class = labels[:, None] == torch.arange(outputs.shape[1], device=labels.device)
        return {"right": right, "hits": of_class & right[:, None], "of_class": of_class}

    def read(self, sums: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return both accuracies."""
        return {
            "accuracy": sums["right"] / sums["count"],
            "mean_class_accuracy": ratio(sums["hits"], sums["of_class"]).nanmean(dim=-1),
        }
