"""Regression: numbers for each example."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from l2o.envs.objectives.base import LOSS, Metric, Objective


@dataclass(frozen=True)
class Regression(Objective):
    """Squared error; its root, and the absolute error.

        loss = mean (f(x) - y)²,   rmse = √loss,   mae = mean |f(x) - y|

    Outputs are `[B, D]` (or `[B]`), labels of the same shape; means are over examples and the D
    numbers of each. What guessing gives depends on the labels, so metrics have no chance level.

    Args:
        outputs: D, where it is known.
    """

    name: ClassVar[str] = "regression"
    main: ClassVar[str] = "rmse"

    outputs: int | None = None

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """Loss, root mean squared error, mean absolute error."""
        return {
            LOSS: Metric(LOSS, "min", "label units squared"),
            "rmse": Metric("rmse", "min", "label units"),
            "mae": Metric("mae", "min", "label units"),
        }

    def losses(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return the mean squared error of each example `[B]`."""
        return _errors(outputs, labels).square().mean(dim=1)

    def tally(self, outputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Return the mean squared and the mean absolute error of each example."""
        errors = _errors(outputs, labels)
        return {"squared": errors.square().mean(dim=1), "absolute": errors.abs().mean(dim=1)}

    def read(self, sums: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return both errors."""
        return {
            "rmse": (sums["squared"] / sums["count"]).sqrt(),
            "mae": sums["absolute"] / sums["count"],
        }


def _errors(outputs: Tensor, labels: Tensor) -> Tensor:
    """Return `f(x) - y` as `[B, D]`.

    Raises:
        ValueError: there are not as many numbers as labels.
    """
    outputs, labels = (each.reshape(len(each), -1) for each in (outputs, labels))
    if outputs.shape != labels.shape:
        raise ValueError(
            f"the network gives {outputs.shape[1]} numbers for each example and labels have "
            f"{labels.shape[1]}; make the task's num_classes the latter"
        )
    return outputs - labels.to(torch.promote_types(outputs.dtype, torch.float32))
