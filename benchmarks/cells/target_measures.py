"""What a cell's record says of the target test set beyond accuracy: feature diversity, classes."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from l2o.benchmarks.cells.record import finite
from l2o.envs.objectives import Objective
from l2o.measures import HypersphericalEnergy, Outputs, class_accuracy, joined

ENERGIES = ("energy_0", "energy_1", "energy_2")
"""Hyperspherical energies of the features, lower being more diverse."""
HALVES = ("target_half_0", "target_half_1")
"""Accuracies on two halves of the images, for choosing by one and scoring by the other."""


def kept(batches: Iterable[Outputs], objective: Objective) -> Outputs:
    """Return what is measured of the target test set: of pixels, no outputs, which are many."""
    fields = ("logits", "labels", "features")
    return joined(batches, *(fields if objective.name == "classification" else fields[2:]))


def target_measures(outputs: Outputs, classes: bool = True) -> dict[str, float | None]:
    """Return energies, and accuracies of halves; None where undefined.

    Args:
        outputs: of the fine-tuned network on the target test set; features of any shape.
        classes: whether each image has one class; else there are no such accuracies.
    """
    assert outputs.features is not None
    energies = HypersphericalEnergy()(Outputs(features=outputs.features.flatten(1)))
    if not classes:
        return {**{name: finite(energies[name]) for name in ENERGIES}, **dict.fromkeys(HALVES)}
    assert outputs.logits is not None
    assert outputs.labels is not None
    return {
        **{name: finite(energies[name]) for name in ENERGIES},
        **dict(zip(HALVES, halves(outputs.logits, outputs.labels), strict=True)),
    }


def class_accuracies(outputs: Outputs) -> tuple[float | None, ...]:
    """Return the accuracy of each class; None for one without images."""
    assert outputs.logits is not None
    assert outputs.labels is not None
    return tuple(map(finite, class_accuracy(outputs.logits, outputs.labels).tolist()))


def halves(logits: Tensor, labels: Tensor) -> tuple[float | None, float | None]:
    """Return the accuracies on two halves of the images, each with half of every class.

    Example:
        >>> logits, labels = torch.eye(2)[[0, 1, 0, 0]], torch.tensor([0, 0, 1, 1])
        >>> halves(logits, labels)
        (0.5, 0.0)
    """
    hits = (logits.argmax(dim=1) == labels) & torch.isfinite(logits).all(dim=1)
    hits = hits[labels.argsort(stable=True)].double()
    first, second = (finite(float(hits[start::2].mean())) for start in (0, 1))
    return first, second
