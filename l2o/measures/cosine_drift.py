"""Cosine drift: how far features have turned away from the frozen network's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn import functional

from l2o.measures.base import Measure, Outputs, check_features, paired_maps


@dataclass(frozen=True)
class CosineDrift(Measure):
    """`cosine_drift_LAYER`: `cosine_drift` of each layer, fine-tuned against frozen.

    Example:
        >>> CosineDrift()(Outputs(maps={"fc": torch.eye(2)}, start_maps={"fc": -torch.eye(2)}))
        {'cosine_drift_fc': 2.0}
    """

    needs: ClassVar[tuple[str, ...]] = ("maps", "start_maps")

    def compute(self, outputs: Outputs) -> dict[str, float]:
        """Return the drift of each layer."""
        pairs = paired_maps(outputs)
        return {
            f"cosine_drift_{k}": cosine_drift(maps, start) for k, (maps, start) in pairs.items()
        }


def cosine_drift(one: Tensor, other: Tensor) -> float:
    """Return 1 − cos(x, y), the mean over examples: 0 is no drift, 1 orthogonal, 2 opposite.

    Args:
        one: `[N, D]`.
        other: `[N, D]`, of the same examples.

    Raises:
        ValueError: shapes differ.
    """
    check_features("features", one)
    if one.shape != other.shape:
        raise ValueError(
            f"features {tuple(one.shape)} and {tuple(other.shape)} must have one shape"
        )
    pair = (one.detach().double().flatten(1), other.detach().double().flatten(1))
    return 1.0 - float(functional.cosine_similarity(*pair, dim=1).mean())
