"""LAMB's rule: a step moves each layer by the learning rate times its weights' norm."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from l2o.rules.relative_step import RelativeStep
from l2o.signals.learning_rate import BaseLR


@dataclass
class LAMB(RelativeStep):
    """multiplier[l] = ‖θ_l‖ / ‖u_l‖, u the optimizer's step at a learning rate of 1.

    A step then moves a layer by the user's learning rate times its weights' norm. Under Adam or
    AdamW it is LAMB, with norms of the step before and of layer groups, not of single tensors, and
    a factor for the head. Source: You et al., Large Batch Optimization for Deep Learning: Training
    BERT in 76 Minutes, ICLR 2020.

    Args:
        head: factor for the head, not negative.
        anneal: times ½ (1 + cos πt), t the share of the training that is done, where it is known.
        first_lr: the learning rate before the first measurement, above 0.
        change: largest factor between two decisions, above 1.

    Raises:
        ValueError: an argument out of range.

    Example:
        >>> LAMB(head=10.0)
        LAMB(head=10.0, anneal=True, first_lr=0.0001, change=10.0)
    """

    def target(self, seen: dict[str, Tensor]) -> Tensor:
        """Return the user's learning rate."""
        rate: Tensor = 10.0 ** (seen["base_lr"] * BaseLR.scale)
        return rate
