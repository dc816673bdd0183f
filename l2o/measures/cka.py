"""Linear CKA: how alike two representations are, whatever their basis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from l2o.measures.base import Measure, Outputs, check_features, paired_maps


@dataclass(frozen=True)
class CKA(Measure):
    """`cka_LAYER`: `linear_cka` of each layer, fine-tuned against frozen; 1 is nothing changed.

    Example:
        >>> maps = {"fc": torch.eye(4)}
        >>> round(CKA()(Outputs(maps=maps, start_maps=maps))["cka_fc"], 6)
        1.0
    """

    needs: ClassVar[tuple[str, ...]] = ("maps", "start_maps")

    def compute(self, outputs: Outputs) -> dict[str, float]:
        """Return the similarity of each layer."""
        pairs = paired_maps(outputs)
        return {f"cka_{name}": linear_cka(maps, start) for name, (maps, start) in pairs.items()}


def linear_cka(one: Tensor, other: Tensor) -> float:
    """Return ⟨K, L⟩ / (‖K‖ ‖L‖) with K = XXᵀ and L = YYᵀ of centred features, in [0, 1].

    Source: Kornblith et al., Similarity of Neural Network Representations Revisited, ICML 2019.
    It is NaN where one of them is constant.

    Args:
        one: X, `[N, D]`.
        other: Y, `[N, D']`, of the same examples.

    Raises:
        ValueError: the numbers of examples differ.

    Example:
        >>> round(linear_cka(torch.eye(4), 3 * torch.eye(4).roll(1, 1) + 1), 6)
        1.0
    """
    check_features("features", one)
    check_features("features", other)
    if len(one) != len(other):
        raise ValueError(f"features of {len(one)} and {len(other)} examples; they must be the same")
    grams = []
    for features in (one, other):
        centred = features.detach().double().flatten(1)
        centred = centred - centred.mean(dim=0)
        grams.append(centred @ centred.T)
    k, l = grams  # noqa: E741
    return float((k * l).sum() / (k.norm() * l.norm()))
