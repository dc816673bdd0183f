"""Selection by one threshold for all classes: of the confidence, or of the entropy."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from l2o.adaptation.pseudo_labels import PseudoLabels
from l2o.adaptation.quantiles import ClassQuantiles
from l2o.adaptation.selection import Selection, check_probabilities, hard_labels, surest
from l2o.checks import check_number


class AboveThreshold(Selection):
    """ŷ = argmax_k p_k, kept iff max_k p_k ≥ threshold: plain pseudo-labels.

    Source: Lee, Pseudo-Label: The Simple and Efficient Semi-Supervised Learning Method for Deep
    Neural Networks, 2013.

    Args:
        threshold: in [0, 1].

    Raises:
        ValueError: another threshold.

    Example:
        >>> AboveThreshold(0.8).choose(torch.tensor([[0.9, 0.1], [0.3, 0.7]])).labels.tolist()
        [0, -100]
    """

    def __init__(self, threshold: float) -> None:
        check_number("threshold", threshold, 0.0, 1.0)
        self.threshold = threshold

    def observe(self, probabilities: Tensor) -> None:
        """Do nothing: the threshold is known."""

    def choose(self, probabilities: Tensor) -> PseudoLabels:
        """Return the pseudo-labels of a batch."""
        confidence, label = surest(probabilities)
        return hard_labels(label, confidence >= self.threshold, confidence)


class LowEntropy(Selection):
    """ŷ = argmax_k p_k, kept for the share of all predictions whose entropy is the lowest.

    Args:
        share: of the predictions, in [0, 1].

    Raises:
        ValueError: another share.

    Example:
        >>> rule = LowEntropy(share=0.5)
        >>> p = torch.tensor([[0.9, 0.1], [0.6, 0.4]])
        >>> rule.observe(p)
        >>> rule.choose(p).labels.tolist()
        [0, -100]
    """

    def __init__(self, share: float) -> None:
        check_number("share", share, 0.0, 1.0)
        self.share = share
        self._quantiles = ClassQuantiles(1)

    def observe(self, probabilities: Tensor) -> None:
        """Add a batch's certainties to the quantiles."""
        certainty = _certainty(probabilities)
        self._quantiles.add(torch.zeros_like(certainty, dtype=torch.int64), certainty)

    def choose(self, probabilities: Tensor) -> PseudoLabels:
        """Return the pseudo-labels of a batch."""
        confidence, label = surest(probabilities)
        least = float(self._quantiles.thresholds(self.share)[0])
        return hard_labels(label, _certainty(probabilities) >= least, confidence)


def _certainty(probabilities: Tensor) -> Tensor:
    """Return 1 - H(p) / log K: 1 for a sure prediction, 0 for an even one."""
    check_probabilities(probabilities)
    entropy = -torch.xlogy(probabilities, probabilities).sum(dim=1)
    return (1.0 - entropy / math.log(probabilities.shape[1])).clamp(0.0, 1.0)
