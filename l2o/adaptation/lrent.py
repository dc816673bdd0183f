"""Self-training with soft labels that their entropy regularises (LRENT)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from l2o.adaptation.base import IGNORED, Side
from l2o.adaptation.mrkld import even_divergence
from l2o.adaptation.regularised_labels import EntropyRegularised
from l2o.adaptation.self_training import SelfTraining
from l2o.checks import check_number


@dataclass(eq=False)
class LRENT(SelfTraining):
    """Soft pseudo-labels (`EntropyRegularised`), and soft cross-entropy on them.

    Source: Zou et al., Confidence Regularized Self-Training, ICCV 2019 (α = 0.25). Its best row
    has MRKLD's term, too: `kld`.

    Args:
        share: of each class: {first, growth, most}.
        alpha: α of the labels, above 0.
        kld: weight of MRKLD's term, not negative.
        seed: of nothing.

    Raises:
        ValueError: a share, α or weight out of range.

    Example:
        >>> LRENT(alpha=0.5).selection(number=1).share
        0.25
    """

    soft: ClassVar[bool] = True

    alpha: float = 0.25
    kld: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("alpha", self.alpha, above=True)
        check_number("kld", self.kld)

    def selection(self, number: int) -> EntropyRegularised:
        """Return the rule of a round."""
        return EntropyRegularised(self.share.at(number), self.alpha)

    def target_loss(self, side: Side) -> Tensor:
        """Return soft cross-entropy, and the regulariser if it has a weight."""
        assert side.labels is not None
        loss = super().target_loss(side)
        if not self.kld:
            return loss
        return loss + self.kld * even_divergence(side.outputs, side.labels != IGNORED)
