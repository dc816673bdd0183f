"""Domain-adversarial training: features that a domain classifier cannot tell apart."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from l2o.adaptation.feature_term import FeatureTerm
from l2o.checks import check_at_least_one, check_number


class GradientReversal(torch.autograd.Function):
    """x forward, −λ · gradient backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: float) -> Tensor:
        """Return x as it is."""
        ctx.factor = factor
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        """Return the gradient, turned round."""
        return -ctx.factor * gradients[0], None


def reverse_gradient(x: Tensor, factor: float = 1.0) -> Tensor:
    """Return x, whose gradient is multiplied by −factor on its way back.

    Example:
        >>> x = torch.ones(2, requires_grad=True)
        >>> reverse_gradient(x, 0.5).sum().backward()
        >>> x.grad
        tensor([-0.5000, -0.5000])
    """
    reversed_: Tensor = GradientReversal.apply(x, factor)
    return reversed_


@dataclass(eq=False)
class DANN(FeatureTerm):
    """Cross-entropy of a domain classifier, whose gradient is reversed below it.

        λ = 2 / (1 + exp(−slope · progress)) − 1

    Source: Ganin et al., Domain-Adversarial Training of Neural Networks, JMLR 2016 (slope 10).

    Args:
        weight: not negative.
        pixels: of maps, positions of each image that are looked at; 0: their mean.
        seed: of the domain classifier.
        hidden: its width.
        slope: how fast λ grows.

    Raises:
        ValueError: a weight or slope out of range, or no width.

    Example:
        >>> term = DANN(hidden=8)
        >>> term.prepare(nn.Linear(4, 3), torch.zeros(1, 4))
        >>> optimizer = torch.optim.SGD(term.parameters(), lr=0.1)  # and those of the model
        >>> source, target = torch.randn(6, 4), torch.randn(6, 4) + 1
        >>> term(source, target, progress=0.5).backward()
        >>> optimizer.step()
    """

    hidden: int = 256
    slope: float = 10.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least_one("hidden", self.hidden)
        check_number("slope", self.slope)

    def make(self, head: nn.Module, features: Tensor) -> dict[str, nn.Module]:
        """Return the domain classifier."""
        del head
        return {"domain": domain_classifier(features.shape[1], self.hidden)}

    def distance(self, source: Tensor, target: Tensor, progress: float) -> Tensor:
        """Return the domain classifier's loss."""
        factor = 2.0 / (1.0 + math.exp(-self.slope * progress)) - 1.0
        both = reverse_gradient(torch.cat([source, target]), factor)
        told = self.networks["domain"](both)[:, 0]
        return domain_loss(told, len(source))


def domain_classifier(width: int, hidden: int) -> nn.Module:
    """Return a network of two hidden layers: features `[N, width]` -> logit of the source."""
    return nn.Sequential(
        nn.Linear(width, hidden),
        nn.ReLU(),
        nn.Linear(hidden, hidden),
        nn.ReLU(),
        nn.Linear(hidden, 1),
    )


def domain_loss(logits: Tensor, source: int) -> Tensor:
    """Return the cross-entropy of domains, each counting as much: the first are of the source."""
    ones, zeros = torch.ones_like(logits[:source]), torch.zeros_like(logits[source:])
    of_source = functional.binary_cross_entropy_with_logits(logits[:source], ones)
    of_target = functional.binary_cross_entropy_with_logits(logits[source:], zeros)
    return (of_source + of_target) / 2.0
