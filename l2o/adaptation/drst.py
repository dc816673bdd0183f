"""Distributionally robust self-training."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from l2o.adaptation.base import Batch, Phase, Side
from l2o.adaptation.cbst import CBST
from l2o.adaptation.dann import domain_classifier, domain_loss
from l2o.adaptation.robust import robust_cross_entropy, robust_logits
from l2o.adaptation.self_training import wide
from l2o.checks import check_at_least_one, check_number


@dataclass(eq=False)
class DRST(CBST):
    """CBST on robust predictions, with a robust loss and a domain classifier that is trained along.

        L = robust CE on source and pseudo-labels + cross-entropy of the domain classifier

    The classifier, on the features that the head is given, gives the ratio r of `robust_logits`;
    its gradient does not reach the backbone. Confidences are those of the target, with Y of ones.
    Source: Wang et al., Distributionally Robust Learning for Unsupervised Domain Adaptation, 2020.
    The network is scored and kept under its plain softmax.

    Args:
        share: of each class: {first, growth, most}.
        rho: ρ, not negative (0.1 or 0.001 in the paper).
        bound: largest ratio, and 1 / the smallest, at least 1.
        hidden: width of the domain classifier.
        joint: whether the loss on labels trains the domain classifier, too.
        seed: of the domain classifier.

    Raises:
        ValueError: an argument out of range.

    Example:
        >>> method = DRST(hidden=8)
        >>> method.prepare(nn.Linear(4, 3), torch.zeros(1, 4))
        >>> method.ratios(torch.randn(5, 4)).shape
        torch.Size([5])
    """

    draws_all: ClassVar[bool] = True

    rho: float = 0.1
    bound: float = 10.0
    hidden: int = 256
    joint: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("rho", self.rho)
        check_number("bound", self.bound, 1.0)
        check_at_least_one("hidden", self.hidden)

    def make(self, head: nn.Module, features: Tensor) -> dict[str, nn.Module]:
        """Return the domain classifier."""
        del head
        return {"domain": domain_classifier(features.shape[1], self.hidden)}

    def ratios(self, features: Tensor) -> Tensor:
        """Return r of each image `[N]`, within the bound."""
        return self._ratios(self._told(_rows(features)))

    def confidences(self, side: Side) -> Tensor:
        """Return the robust probabilities of target images."""
        scores, bias = _parted(side)
        known = torch.ones_like(scores)
        logits = robust_logits(scores, bias, self.ratios(side.features), known, self.rho)
        return torch.softmax(logits, dim=1)

    def target_loss(self, side: Side) -> Tensor:
        """Return the robust loss of labelled images."""
        return self._robust(side, self._told(_rows(side.features)))

    def loss(self, batch: Batch, phase: Phase) -> Tensor:
        """Return the robust losses, that of the domains, and what the source's loss has beside."""
        del phase
        source, target = batch.source, batch.target
        # Both domains go through the classifier at once: what its loss and the ratios are made of.
        told = self._told(torch.cat([_rows(source.features), _rows(target.features)]))
        known, unknown = len(source.outputs), len(target.outputs)
        beside = batch.source_loss - CBST.target_loss(self, source)
        total = known * (self._robust(source, told[:known]) + beside)
        total = total + unknown * self._robust(target, told[known:])
        return total / (known + unknown) + domain_loss(told, known)

    def _robust(self, side: Side, told: Tensor) -> Tensor:
        assert side.labels is not None
        scores, bias = _parted(side)
        ratio = self._ratios(told if self.joint else told.detach())
        return robust_cross_entropy(scores, bias, ratio, side.labels, self.rho)

    def _ratios(self, told: Tensor) -> Tensor:
        limit = math.log(self.bound)
        return told.clamp(-limit, limit).exp()

    def _told(self, rows: Tensor) -> Tensor:
        """Return the domain classifier's logits `[N]`."""
        logits: Tensor = self.networks["domain"](rows)[:, 0]
        return logits


def _rows(features: Tensor) -> Tensor:
    """Return features `[N, D]` without a way back into the backbone; maps are averaged."""
    apart = features.detach()
    return wide(apart.flatten(2).mean(dim=2) if apart.dim() > 2 else apart)


def _parted(side: Side) -> tuple[Tensor, Tensor]:
    """Return scores without bias, and the bias.

    Raises:
        ValueError: the last layer was not caught.
    """
    if side.last is None:
        raise ValueError("drst looks at the last layer; catch it by l2o.adaptation.HeadInputs")
    bias = wide(side.last.bias)
    outputs = wide(side.outputs)
    # Not detached: the bias has its gradient once, and not by way of the outputs, too.
    return outputs - bias.view(1, -1, *(1,) * (outputs.dim() - 2)), bias
