"""What a cell's record says of the target test set beyond accuracy: feature diversity, classes."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from l2o.measures import HypersphericalEnergy, Outputs, class_accuracy

ENERGIES = ("energy_0", "energy_1", "energy_2")
"""Hyperspherical energies of the features, lower being more diverse."""
HALVES = ("target_half_0", "target_half_1")
"""Accuracies on two halves of the images, for choosing by one and scoring by the other."""


def target_record(outputs: Outputs, classes: bool = True) -> dict[str, Any]:
    """Return energies, accuracies of halves and of each class, as JSON data; None where undefined.

    Args:
        outputs: of the fine-tuned network on the target test set; features of any shape.
        classes: whether each image has one class; else there are no such accuracies.
    """
    assert outputs.features is not None
    assert outputs.logits is not None
    assert outputs.labels is not None
    flat = Outputs(features=outputs.features.flatten(1))
    energies = HypersphericalEnergy()(flat)
    if not classes:
        found = {name: _finite(energies[name]) for name in ENERGIES}
        return {**found, **dict.fromkeys(HALVES), "class_accuracy": []}
    each = class_accuracy(outputs.logits, outputs.labels).tolist()
    return {
        **{name: _finite(energies[name]) for name in ENERGIES},
        **dict(zip(HALVES, halves(outputs.logits, outputs.labels), strict=True)),
        "class_accuracy": [_finite(accuracy) for accuracy in each],
    }


def halves(logits: Tensor, labels: Tensor) -> tuple[float | None, float | None]:
    """Return the accuracies on two halves of the images, each with half of every class.

    Example:
        >>> logits, labels = torch.eye(2)[[0, 1, 0, 0]], torch.tensor([0, 0, 1, 1])
        >>> halves(logits, labels)
        (0.5, 0.0)
    """
    hits = (logits.argmax(dim=1) == labels) & torch.isfinite(logits).all(dim=1)
    hits = hits[labels.argsort(stable=True)].double()
    first, second = (_finite(float(hits[start::2].mean())) for start in (0, 1))
    return first, second


def _finite(value: float) -> float | None:
    return round(value, 6) if math.isfinite(value) else None
