"""Class-balanced selection: the same share of each class, by confidences scaled by class."""

from __future__ import annotations

import torch
from torch import Tensor

from l2o.adaptation.pseudo_labels import PseudoLabels
from l2o.adaptation.quantiles import ClassQuantiles
from l2o.adaptation.selection import Selection, by_class, hard_labels, surest
from l2o.checks import check_number


class ClassBalanced(Selection):
    """ŷ = argmax_k p_k / λ_k, kept iff max_k p_k / λ_k ≥ 1.

    λ_k is the confidence at rank ⌊share · N_k⌋ (1 at least) of the N_k predictions of class k; 1
    where a class is never predicted. Source: Zou et al., Unsupervised Domain Adaptation for
    Semantic Segmentation via Class-Balanced Self-Training, ECCV 2018.

    Args:
        share: of the predictions of each class, in [0, 1].

    Raises:
        ValueError: another share.

    Example:
        >>> rule = ClassBalanced(share=0.5)
        >>> p = torch.tensor([[0.9, 0.1], [0.6, 0.4], [0.48, 0.52]])
        >>> rule.observe(p)
        >>> rule.thresholds.tolist()  # 0.52 is the surest of its class
        [0.8999999761581421, 0.5199999809265137]
        >>> rule.choose(p).labels.tolist()
        [0, -100, 1]
    """

    def __init__(self, share: float) -> None:
        check_number("share", share, 0.0, 1.0)
        self.share = share
        self._quantiles: ClassQuantiles | None = None
        self._thresholds: Tensor | None = None

    def observe(self, probabilities: Tensor) -> None:
        """Add a batch's confidences to the quantiles of the classes they are of."""
        confidence, label = surest(probabilities)
        if self._quantiles is None:
            self._quantiles = ClassQuantiles(probabilities.shape[1])
        self._thresholds = None
        self._quantiles.add(label, confidence)

    @property
    def thresholds(self) -> Tensor:
        """λ, float64 `[K]`.

        Raises:
            ValueError: nothing was observed.
        """
        if self._quantiles is None:
            raise ValueError("no predictions were observed; call observe on each batch first")
        if self._thresholds is None:
            self._thresholds = self._quantiles.thresholds(self.share)
        return self._thresholds

    def choose(self, probabilities: Tensor) -> PseudoLabels:
        """Return the pseudo-labels of a batch."""
        confidence, label = surest(probabilities)
        scaled, balanced = (probabilities / by_class(self.thresholds, probabilities)).max(dim=1)
        balanced = torch.where(label < 0, -1, balanced)
        chosen = probabilities.gather(1, balanced.clamp_min(0).unsqueeze(1)).squeeze(1)
        kept = scaled >= 1.0
        return hard_labels(balanced, kept, torch.where(kept, chosen, confidence))
