"""Self-training with the model regularised by the divergence from even predictions (MRKLD)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from l2o.adaptation.base import IGNORED, Side
from l2o.adaptation.cbst import CBST
from l2o.adaptation.self_training import wide
from l2o.checks import check_number


@dataclass(eq=False)
class MRKLD(CBST):
    """CBST's pseudo-labels; cross-entropy + α · mean over the kept of −(1/K) Σ_k log p_k.

    Source: Zou et al., Confidence Regularized Self-Training, ICCV 2019 (α = 0.1).

    Args:
        share: of each class: {first, growth, most}.
        alpha: α, not negative.
        seed: of nothing.

    Raises:
        ValueError: a share or α out of range.

    Example:
        >>> side = Side(torch.zeros(2, 4), torch.zeros(2, 3), labels=torch.tensor([1, 2]))
        >>> MRKLD(alpha=0.5).target_loss(side)  # (1 + 0.5) log 4
        tensor(2.0794)
    """

    alpha: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("alpha", self.alpha)

    def target_loss(self, side: Side) -> Tensor:
        """Return cross-entropy and regulariser."""
        assert side.labels is not None
        kept = side.labels != IGNORED
        return super().target_loss(side) + self.alpha * even_divergence(side.outputs, kept)


def even_divergence(outputs: Tensor, kept: Tensor) -> Tensor:
    """Return the mean over the kept of −(1/K) Σ_k log p_k: KL(even ‖ p) + log K.

    Args:
        outputs: logits `[N, K]` or `[N, K, H, W]`.
        kept: bool `[N]` or `[N, H, W]`.

    Example:
        >>> even_divergence(torch.zeros(2, 4), torch.tensor([True, True]))
        tensor(1.3863)
    """
    each = -functional.log_softmax(wide(outputs), dim=1).mean(dim=1)
    return torch.where(kept, each, torch.zeros_like(each)).sum() / kept.sum().clamp_min(1)
