"""Self-training on the predictions above a threshold, or on those of low entropy."""

from __future__ import annotations

from dataclasses import dataclass

from l2o.adaptation.self_training import SelfTraining
from l2o.adaptation.simple_selections import AboveThreshold, LowEntropy
from l2o.checks import check_number


@dataclass(eq=False)
class Threshold(SelfTraining):
    """Pseudo-labels whose confidence is at least a threshold, and cross-entropy on them.

    Source: Lee, Pseudo-Label, 2013.

    Args:
        share: not used: the threshold decides how many there are.
        threshold: in [0, 1].
        seed: of nothing.

    Raises:
        ValueError: another threshold.

    Example:
        >>> Threshold(threshold=0.95).selection(number=0).threshold
        0.95
    """

    threshold: float = 0.9

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("threshold", self.threshold, 0.0, 1.0)

    def selection(self, number: int) -> AboveThreshold:
        """Return the rule, the same in each round."""
        del number
        return AboveThreshold(self.threshold)


@dataclass(eq=False)
class Entropy(SelfTraining):
    """Pseudo-labels of the lowest entropy, whatever their class, and cross-entropy on them.

    Args:
        share: of all predictions: {first, growth, most}.
        seed: of nothing.

    Raises:
        ValueError: a share out of range.

    Example:
        >>> Entropy(share=0.3).selection(number=0).share
        0.3
    """

    def selection(self, number: int) -> LowEntropy:
        """Return the rule of a round."""
        return LowEntropy(self.share.at(number))
