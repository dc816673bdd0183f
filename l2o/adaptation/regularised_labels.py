"""Soft pseudo-labels, regularised by their entropy (LRENT)."""

from __future__ import annotations

import torch
from torch import Tensor

from l2o.adaptation.class_balanced import ClassBalanced
from l2o.adaptation.pseudo_labels import PseudoLabels
from l2o.adaptation.selection import by_class, hard_labels, surest
from l2o.checks import check_number


class EntropyRegularised(ClassBalanced):
    """Soft labels y_k ∝ (p_k / λ_k)^(1/α), with the λ of class-balanced selection.

    They minimise Σ_k (−y_k log (p_k / λ_k) + α y_k log y_k), and are kept iff the minimum is
    negative. It is −α log Σ_k (p_k / λ_k)^(1/α), so that is iff the sum is above 1. Source: Zou et
    al., Confidence Regularized Self-Training, ICCV 2019 (label entropy, α = 0.25).

    Args:
        share: of the predictions of each class, in [0, 1].
        alpha: α, above 0; the smaller, the harder the labels.

    Raises:
        ValueError: another share or α.

    Example:
        >>> rule = EntropyRegularised(share=0.5, alpha=0.5)
        >>> p = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.5, 0.5]])
        >>> rule.observe(p)
        >>> rule.choose(p).soft[0]
        tensor([0.9901, 0.0099])
    """

    def __init__(self, share: float, alpha: float = 0.25) -> None:
        super().__init__(share)
        check_number("alpha", alpha, above=True)
        self.alpha = alpha

    def choose(self, probabilities: Tensor) -> PseudoLabels:
        """Return the pseudo-labels of a batch, soft and as their likeliest classes."""
        _, label = surest(probabilities)
        wide = probabilities.to(torch.promote_types(probabilities.dtype, torch.float32))
        scaled = (wide.log() - by_class(self.thresholds, wide).log()) / self.alpha
        soft = scaled.softmax(dim=1)
        kept = torch.logsumexp(scaled, dim=1) > 0.0
        likeliest = torch.where(label < 0, -1, soft.argmax(dim=1))
        confidence = wide.gather(1, likeliest.clamp_min(0).unsqueeze(1)).squeeze(1)
        hard = hard_labels(likeliest, kept, confidence)
        return PseudoLabels(hard.labels, hard.confidence, soft.to(probabilities.dtype))
