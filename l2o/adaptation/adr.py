"""Adversarial dropout regularisation: one head under two masks is to agree on the target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn import functional

from l2o.adaptation.base import Adaptation, Batch, Phase
from l2o.adaptation.self_training import kept_cross_entropy, wide
from l2o.checks import check_number


@dataclass(eq=False)
class ADR(Adaptation):
    """p₁, p₂ are one head C under two dropout masks; the steps of each batch, in turn:

        A:      all     min CE
        B:      head    min CE − d
        C, 4 ×: backbone    min d

    d = ½ [KL(p₁ ‖ p₂) + KL(p₂ ‖ p₁)] on the target, whose masks are drawn anew in each step. CE is
    that of the head under a mask, too: d has no bound, and what a head without dropout can say of
    the source would not hold it. What else the source's loss has (guidance) stays as it is.
    Source: Saito et al., Adversarial Dropout Regularization, ICLR 2018.

    Args:
        weight: of d, not negative.
        dropout: probability that a feature is dropped, in [0, 1].
        seed: of nothing.

    Raises:
        ValueError: a weight or probability out of range.

    Example:
        >>> from l2o.adaptation import Side
        >>> x, y, head = torch.randn(5, 6), torch.randint(3, (5,)), nn.Linear(6, 3)
        >>> side = Side(head(x), x, y)
        >>> loss = nn.functional.cross_entropy(side.outputs, y)
        >>> method = ADR(dropout=0.0)  # the same twice
        >>> found = method.loss(Batch(side, side, loss, head), method.phases[1])
        >>> torch.testing.assert_close(found, loss)
    """

    phases: ClassVar[tuple[Phase, ...]] = (
        Phase("A"),
        Phase("B", "head"),
        *[Phase("C", "backbone")] * 4,
    )
    draws: ClassVar[bool] = True

    weight: float = 1.0
    dropout: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        check_number("weight", self.weight)
        check_number("dropout", self.dropout, 0.0, 1.0)

    def loss(self, batch: Batch, phase: Phase) -> Tensor:
        """Return what the phase minimises."""
        if phase.name == "A":
            return self._known(batch)
        one, other = (self._masked(batch, batch.target.features) for _ in range(2))
        apart = self.weight * symmetric_divergence(one, other)
        return apart if phase.name == "C" else self._known(batch) - apart

    def _known(self, batch: Batch) -> Tensor:
        """Return the source's loss, its cross-entropy under a mask."""
        labels = batch.source.labels
        assert labels is not None
        plain = batch.source.outputs
        beside = batch.source_loss - kept_cross_entropy(plain, labels)
        outputs = self._masked(batch, batch.source.features)
        if outputs.shape[2:] != plain.shape[2:]:
            outputs = functional.interpolate(outputs, plain.shape[2:], mode="bilinear")
        return kept_cross_entropy(outputs, labels) + beside

    def _masked(self, batch: Batch, features: Tensor) -> Tensor:
        """Return what the head says where some features are dropped."""
        outputs: Tensor = batch.head(functional.dropout(features, self.dropout, training=True))
        return outputs


def symmetric_divergence(one: Tensor, other: Tensor) -> Tensor:
    """Return mean ½ [KL(p₁ ‖ p₂) + KL(p₂ ‖ p₁)] of logits `[N, K]` or `[N, K, H, W]`, in nats.

    Example:
        >>> symmetric_divergence(torch.zeros(2, 3), torch.zeros(2, 3))
        tensor(0.)
    """
    first, second = (functional.log_softmax(wide(logits), dim=1) for logits in (one, other))
    return 0.5 * ((first.exp() - second.exp()) * (first - second)).sum(dim=1).mean()
