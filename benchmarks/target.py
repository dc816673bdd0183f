"""What a cell's record says of the target test set beyond accuracy: feature diversity, classes."""

from __future__ import annotations

import math
from typing import Any

from l2o.measures import HypersphericalEnergy, Outputs, class_accuracy

ENERGIES = ("energy_0", "energy_1", "energy_2")
"""Hyperspherical energies of the features, lower being more diverse."""


def target_record(outputs: Outputs) -> dict[str, Any]:
    """Return energies and the accuracy of each class, as JSON data; None where undefined.

    Args:
        outputs: of the fine-tuned network on the target test set; features of any shape.
    """
    assert outputs.features is not None
    assert outputs.logits is not None
    assert outputs.labels is not None
    flat = Outputs(features=outputs.features.flatten(1))
    energies = HypersphericalEnergy()(flat)
    each = class_accuracy(outputs.logits, outputs.labels).tolist()
    return {
        **{name: _finite(energies[name]) for name in ENERGIES},
        "class_accuracy": [_finite(accuracy) for accuracy in each],
    }


def _finite(value: float) -> float | None:
    return round(value, 6) if math.isfinite(value) else None
