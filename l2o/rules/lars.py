"""LARS's rule: learning rates by weight norm over gradient norm."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from l2o.checks import check_number
from l2o.deciding.policy import State
from l2o.rules.base import Rule, head_and_cosine
from l2o.signals.gradient import GradientNorm
from l2o.signals.spec import SignalSpec


@dataclass
class LARS(Rule):
    """multiplier[l] = trust · ‖θ_l‖ / (‖g_l‖ + weight_decay · ‖θ_l‖), g the last step's gradient.

    With norms of layer groups, not of single tensors, and a factor for the head. A layer that had
    no gradient yet, or none at all, gets `trust`. Meant for SGD. Source: You, Gitman and Ginsburg,
    Large Batch Training of Convolutional Networks, 2017.

    Args:
        trust: the trust coefficient, not negative.
        weight_decay: that of the optimizer, not negative.
        head: factor for the head, not negative.
        anneal: times ½ (1 + cos πt), t the share of the training that is done, where it is known.

    Raises:
        ValueError: an argument out of range.

    Example:
        >>> rule = LARS(trust=0.01, head=50.0)
        >>> #                    present, is_head, log10(‖g‖/‖θ‖)/4, has_gradient, progress
        >>> seen = torch.tensor([[1, 0, -0.25, 1, 0.0], [1, 1, -0.25, 1, 0.0]])
        >>> rule(seen, {})[0]
        tensor([0.1000, 5.0000])
    """

    trust: float = 1e-3
    weight_decay: float = 0.0
    head: float = 50.0
    anneal: bool = True
    signals = SignalSpec(("present", "is_head", "gradient_norm", "has_gradient", "progress"))
    # It may exceed the user's own rates.
    cautious = True

    def __post_init__(self) -> None:
        for name in ("trust", "weight_decay", "head"):
            check_number(name, getattr(self, name))

    def __call__(self, observation: Tensor, state: State) -> tuple[Tensor, State]:
        """Return the multipliers `[L]`, and the state as it was."""
        present, is_head, encoded, known, progress = observation.unbind(dim=-1)
        ratio = 1.0 / (10.0 ** (encoded * GradientNorm.scale) + self.weight_decay)
        measured = (known * present > 0) & (encoded > -GradientNorm.limit)
        factor = self.trust * head_and_cosine(is_head, progress, self.head, self.anneal)
        return torch.where(measured, ratio, torch.ones_like(ratio)) * factor, state
